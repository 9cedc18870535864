import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories, Config } from '../base/config-types.js';
import { writeFileDurably } from '../base/durable-files.js';
import { isSettings } from '../base/config-rules.js';
import { unlessMissing } from '../base/unless-missing.js';
import { isUuid, newUuid } from '../base/uuid.js';

function parse(text: string): string | undefined {
    try {
        const value: unknown = JSON.parse(text);
        return isSettings(value) && isUuid(value['instance']) ? value['instance'] : undefined;
    } catch {
        return undefined;
    }
}

/**
 * What tells this installation from others: `instanceUuid` of the configuration, else a UUID that is made
 * once a base directory and kept in `run/instance` (README table C).
 *
 * @throws the file system's error
 */
export async function instanceOf(config: Config, directories: BaseDirectories, log: Logger): Promise<string> {
    if (config.instanceUuid !== undefined) {
        return config.instanceUuid;
    }
    const path = join(directories.run, 'instance');
    const text = await unlessMissing(readFile(path, 'utf8'));
    const kept = text === undefined ? undefined : parse(text);
    if (kept !== undefined) {
        return kept;
    }
    if (text !== undefined) {
        log.warn({ path }, 'does not name an instance: replaced');
    }
    const instance = newUuid();
    await writeFileDurably(path, `${JSON.stringify({ instance })}\n`);
    return instance;
}
