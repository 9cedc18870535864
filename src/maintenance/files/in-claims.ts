import { ApiError } from '../../base/errors.js';
import type { StoredFileName } from '../../storage/storage.js';
import type { UploadClaim, UploadJournal } from '../../storage/upload-journal.js';

/** The files that are claimed whatever is to be done: who deletes an image, or gives it a uuid, claims these. */
const PLACES: readonly StoredFileName[] = ['file0', 'icon'];

/** Somebody else is at work on the image, or was broken off: another time. */
export const IN_USE = Symbol('in use');

function isBusy(error: unknown): boolean {
    return error instanceof ApiError && error.code === 'ServiceUnavailableError';
}

/**
 * Does something with files of an image beside a server, while no process puts bytes in place there or takes
 * the record away: what is decided in here about a file stays true until it is done.
 *
 * @param names further files that are concerned
 * @returns what `task` returns, or {@link IN_USE}
 * @throws what `task` throws, the file system's error
 */
export async function inFileClaims<T>(
    journal: Pick<UploadJournal, 'claim'>,
    uuid: string,
    names: readonly StoredFileName[],
    task: () => Promise<T>,
): Promise<T | typeof IN_USE> {
    const claims: UploadClaim[] = [];
    try {
        // In the order of all others, so that no two wait for each other.
        for (const name of [...new Set([...PLACES, ...names])].sort()) {
            claims.push(await journal.claim(uuid, name));
        }
        // What a process that has ended was doing here is a server's to settle.
        return claims.some(({ left }) => left !== undefined) ? IN_USE : await task();
    } catch (error) {
        if (isBusy(error)) {
            return IN_USE;
        }
        throw error;
    } finally {
        for (const claim of claims) {
            await claim.end(claim.left === undefined);
        }
    }
}
