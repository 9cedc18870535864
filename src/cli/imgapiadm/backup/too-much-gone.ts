import { areaOf, type Area, type Files } from './backup-files.js';

/** Share of the last backup above which what is gone may have been lost instead of deleted. */
const MAX_GONE = 0.2;

/** More is gone than is likely to be meant. */
export class TooMuchGoneError extends Error {
    override readonly name = 'TooMuchGoneError';
}

/**
 * Compares what is there with what the last backup has.
 *
 * @param areas of this backup; nothing is deleted of others
 * @throws TooMuchGoneError
 */
export function requirePlausible(source: Files, last: Files, areas: readonly Area[]): void {
    for (const area of areas) {
        const before = [...last.keys()].filter((path) => areaOf(path) === area);
        const gone = before.filter((path) => !source.has(path)).length;
        if (gone > before.length * MAX_GONE) {
            throw new TooMuchGoneError(
                `${gone} of ${before.length} files of ${area} in the last backup are gone: if that is meant, see --force`,
            );
        }
    }
}
