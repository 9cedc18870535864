import { stat } from 'node:fs/promises';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';

/**
 * Tells the operator when the files of jobs cannot be linked into their places but have to be copied: with
 * them every import takes its space, and its time, twice (jobs-and-imports 9.7).
 */
export async function warnOfDistantStaging(
    { staging, images }: Pick<BaseDirectories, 'staging' | 'images'>,
    log: Logger,
): Promise<void> {
    const [from, to] = await Promise.all([stat(staging), stat(images)]);
    if (from.dev !== to.dev) {
        log.warn({ staging, images }, 'imports are copied: their directory is on another file system');
    }
}
