import { isNoRoom, storageIsDown } from '../../base/errors.js';

/** What a failed call of the file system is for callers: 503 for a full or read-only disk, else itself. */
export function storageFailure(error: unknown): unknown {
    return isNoRoom(error) ? storageIsDown(error) : error;
}

/**
 * Runs `task`.
 *
 * @throws what it throws, as {@link storageFailure} says
 */
export async function translated<T>(task: () => Promise<T>): Promise<T> {
    try {
        return await task();
    } catch (error) {
        throw storageFailure(error);
    }
}
