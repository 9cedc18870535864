import { removeIfPresent, temporarySibling, writeSynced } from '../base/durable-files.js';
import { systemErrorCode } from '../base/errors.js';
import { removeExactly as removeFileExactly } from '../base/remove-exactly.js';
import { readLockFile } from './lock-record.js';

/** Age from which a guard was left behind by a process that ended, ms (operations 4.7). */
const STALE_AFTER_MS = 10_000;

async function create(path: string, text: string): Promise<boolean> {
    try {
        await writeSynced(path, text);
        return true;
    } catch (error) {
        if (systemErrorCode(error) === 'EEXIST') {
            return false;
        }
        throw error;
    }
}

/**
 * Removes a lock or guard file if it still has the text that was judged; if another process has taken
 * the place of what had to be put back, its owner will notice.
 *
 * @returns whether it was removed
 */
export async function removeExactly(path: string, text: string): Promise<boolean> {
    return removeFileExactly(
        path,
        temporarySibling(path),
        async (aside) => (await readLockFile(aside))?.text === text,
    );
}

async function createOrReplace(path: string, text: string, now: number): Promise<boolean> {
    if (await create(path, text)) {
        return true;
    }
    const found = await readLockFile(path);
    if (found !== undefined && Math.abs(now - found.mtimeMs) <= STALE_AFTER_MS) {
        return false;
    }
    if (found !== undefined && !(await removeExactly(path, found.text))) {
        return false;
    }
    return await create(path, text);
}

/**
 * Runs `task` while holding the guard at `path`, which lets one process at a time replace a lock.
 *
 * @param now ms since the epoch, to tell a guard that was left behind
 * @returns what `task` returns; `undefined` when another process has the guard
 */
export async function withTakeGuard<T>(
    path: string,
    text: string,
    now: number,
    task: () => Promise<T>,
): Promise<T | undefined> {
    if (!(await createOrReplace(path, text, now))) {
        return undefined;
    }
    try {
        return await task();
    } finally {
        const found = await readLockFile(path);
        if (found?.text === text) {
            await removeIfPresent(path);
        }
    }
}
