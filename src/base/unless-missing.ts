import { systemErrorCode } from './errors.js';

/** What the file system says when there is no such file. */
const MISSING = new Set(['ENOENT', 'ENOTDIR']);

/** Resolves to `undefined` where the file system says that there is no such file; other errors pass. */
export async function unlessMissing<T>(task: Promise<T>): Promise<T | undefined> {
    try {
        return await task;
    } catch (error) {
        const code = systemErrorCode(error);
        if (code !== undefined && MISSING.has(code)) {
            return undefined;
        }
        throw error;
    }
}
