import { link, rename } from 'node:fs/promises';
import { removeIfPresent } from './durable-files.js';
import { systemErrorCode } from './errors.js';

/** Gives a file its name back, unless another has that name by now, which is the newer one. */
export async function putBack(aside: string, path: string): Promise<void> {
    try {
        await link(aside, path);
    } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') {
            throw error;
        }
    }
    await removeIfPresent(aside);
}

/**
 * Removes a file if it is the one that was judged. Moving it first and looking then makes sure that
 * nothing is removed that another process put there since.
 *
 * @param aside unused name in the same directory; a file that is found there after a crash is one for
 *     {@link putBack}
 * @param isIt whether the file at `aside` is the one
 * @returns whether it was removed
 * @throws the file system's error, or that of `isIt`; the file then has its name, or that of `aside`
 */
export async function removeExactly(
    path: string,
    aside: string,
    isIt: (aside: string) => Promise<boolean>,
): Promise<boolean> {
    try {
        await rename(path, aside);
    } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') {
            return false;
        }
        throw error;
    }
    let removed = false;
    try {
        removed = await isIt(aside);
    } finally {
        await (removed ? removeIfPresent(aside) : putBack(aside, path));
    }
    return removed;
}
