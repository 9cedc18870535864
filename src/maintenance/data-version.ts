import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories } from '../base/config-types.js';
import { writeFileDurably } from '../base/durable-files.js';
import { unlessMissing } from '../base/unless-missing.js';

/** Grows only when an older server could not read the data any more (operations 5.4). */
const DATA_VERSION = 1;

/** What `data-version` in the base directory says. */
interface DataVersion {
    readonly version: number;
    /** The version of the server that wrote it. */
    readonly app: string;
}

function pathOf(directories: BaseDirectories): string {
    return join(directories.base, 'data-version');
}

function parse(text: string, path: string): DataVersion {
    let value: unknown;
    try {
        value = JSON.parse(text);
    } catch (cause) {
        throw new Error(`could not parse ${path}`, { cause });
    }
    const { version, app } = (value ?? {}) as Partial<Record<keyof DataVersion, unknown>>;
    if (!Number.isSafeInteger(version)) {
        throw new Error(`${path} has no "version"`);
    }
    return { version: version as number, app: typeof app === 'string' ? app : 'unknown' };
}

/**
 * Reads the version of the data; absent: nothing of ours has written here yet.
 *
 * @throws Error for a file that is no such document, and for data of a newer server
 */
export async function checkDataVersion(directories: BaseDirectories): Promise<DataVersion | undefined> {
    const path = pathOf(directories);
    const text = await unlessMissing(readFile(path, 'utf8'));
    if (text === undefined) {
        return undefined;
    }
    const found = parse(text, path);
    if (found.version > DATA_VERSION) {
        throw new Error(
            `${path}: the data has version ${found.version} (written by ${found.app}), this server knows ${DATA_VERSION}`,
        );
    }
    return found;
}

/** Notes the version of the data, unless one is noted already. Only the writer calls it. */
export async function writeDataVersion(directories: BaseDirectories, app: string): Promise<void> {
    if ((await checkDataVersion(directories)) === undefined) {
        const content: DataVersion = { version: DATA_VERSION, app };
        await writeFileDurably(pathOf(directories), `${JSON.stringify(content)}\n`);
    }
}
