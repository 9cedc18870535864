import { dirname } from 'node:path';
import { removeIfPresent, syncDirectory } from '../../base/durable-files.js';
import { unlessMissing } from '../../base/unless-missing.js';

/**
 * Puts the name of a file that has just become visible on stable storage, or takes the file away: what is
 * visible must outlive a loss of power.
 *
 * @throws the file system's error, when the file is gone
 */
export async function keepOrRemove(path: string): Promise<void> {
    // A directory that is gone was emptied by whoever removed the file meanwhile: nothing is left to sync.
    try {
        await unlessMissing(syncDirectory(dirname(path)));
    } catch (error) {
        await removeIfPresent(path).catch(() => undefined);
        throw error;
    }
}
