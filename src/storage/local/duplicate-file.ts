import { constants, copyFile, link, open, rename } from 'node:fs/promises';
import { removeIfPresent, syncDirectory } from '../../base/durable-files.js';
import { isNoRoom } from '../../base/errors.js';
import { dirname } from 'node:path';

const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;

async function syncFile(path: string): Promise<void> {
    const handle = await open(path, 'r');
    try {
        await handle.sync();
    } finally {
        await handle.close();
    }
}

async function copyBytes(source: string, target: string, flags: number): Promise<void> {
    await copyFile(source, target, COPYFILE_EXCL | flags);
    await syncFile(target);
}

/** The ways to get the same bytes under a second name, the cheapest in space and time first (backends W9). */
const WAYS: readonly ((source: string, target: string) => Promise<void>)[] = [
    (source, target) => copyBytes(source, target, COPYFILE_FICLONE_FORCE),
    // Safe: files are only ever replaced by rename or unlinked, never written in place.
    link,
    (source, target) => copyBytes(source, target, 0),
];

async function duplicate(source: string, target: string): Promise<void> {
    for (const [index, way] of WAYS.entries()) {
        try {
            await way(source, target);
            return;
        } catch (error) {
            await removeIfPresent(target);
            if (isNoRoom(error) || index === WAYS.length - 1) {
                throw error;
            }
        }
    }
}

/**
 * Makes the bytes of `source` visible as `target`, replacing it as one step: by way of `temporary`,
 * which lies beside it and is gone afterwards. The directory is not synced.
 */
export async function putDuplicate(source: string, temporary: string, target: string): Promise<void> {
    try {
        await duplicate(source, temporary);
        await rename(temporary, target);
    } finally {
        // Renaming a name of a file over another name of the same file leaves both.
        await removeIfPresent(temporary);
    }
}

/** As {@link putDuplicate}, durably. */
export async function duplicateFile(source: string, temporary: string, target: string): Promise<void> {
    await putDuplicate(source, temporary, target);
    await syncDirectory(dirname(target));
}
