import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories } from '../../base/config-types.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isStoredFileName } from '../../storage/file-names.js';

/** Names of the files of a directory. */
async function namesIn(directory: string): Promise<readonly string[]> {
    return (await unlessMissing(readdir(directory))) ?? [];
}

/** Whether a file of `run/uploads` belongs to whoever finishes an upload now, see `FileUploadJournal`. */
function isClaim(uuid: string, name: string): boolean {
    return isStoredFileName(name.slice(uuid.length + 1, -'.json'.length));
}

/**
 * Whether a server has begun something with an image that it has not ended, or that its next pass ends: an
 * upload or a deletion that was broken off, a clone, a change of its uuid. Its files are the server's then,
 * whatever the record says. Uploads that are being finished are not seen here: a claim keeps them off.
 *
 * To be asked before the record is read: what has ended in between has its record by then.
 *
 * @throws the file system's error
 */
export async function isJournaled(directories: BaseDirectories, uuid: string): Promise<boolean> {
    const { uploads, deletes, clones, run } = directories;
    const own = (names: readonly string[]): readonly string[] =>
        names.filter((name) => name.startsWith(`${uuid}.`) && name.endsWith('.json'));
    if (own(await namesIn(deletes)).length > 0) {
        return true;
    }
    if (own(await namesIn(uploads)).some((name) => !isClaim(uuid, name))) {
        return true;
    }
    const moves = (await namesIn(run)).filter((name) => name.startsWith('move-'));
    const paths = [
        ...moves.map((name) => join(run, name)),
        ...(await namesIn(clones)).map((name) => join(clones, name)),
    ];
    for (const path of paths) {
        if (path.includes(uuid) || (await unlessMissing(readFile(path, 'utf8')))?.includes(uuid) === true) {
            return true;
        }
    }
    return false;
}
