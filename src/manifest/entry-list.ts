import { type ApiError, type ErrorEntry, validationFailed } from '../base/errors.js';

/**
 * Most entries that one answer lists. A body may hold millions of wrong list items; nobody reads more
 * than a few, and the answer must stay small.
 */
export const MAX_ENTRIES = 1000;

/** Collects what is wrong with a manifest, in the order it is found. */
export class EntryList {
    readonly #entries: ErrorEntry[] = [];

    /** Whether {@link MAX_ENTRIES} is reached: more are dropped, so looking further is of no use. */
    get isFull(): boolean {
        return this.#entries.length >= MAX_ENTRIES;
    }

    /** The entries so far. */
    get entries(): readonly ErrorEntry[] {
        return this.#entries;
    }

    /** Adds an entry; without `message` it has none (manifest 3.2). */
    add(field: string, code: ErrorEntry['code'], message?: string): void {
        if (!this.isFull) {
            this.#entries.push(message === undefined ? { field, code } : { field, code, message });
        }
    }

    missing(field: string, message?: string): void {
        this.add(field, 'MissingParameter', message);
    }

    invalid(field: string, message?: string): void {
        this.add(field, 'Invalid', message);
    }

    /** 422 `ValidationFailed` that names every field, duplicates kept (manifest 3.1, step 9). */
    toError(prefix: 'invalid image data' | 'invalid image update data'): ApiError {
        const fields = this.#entries.map(({ field }) => field).join(', ');
        return validationFailed(`${prefix}: ${fields}`, this.#entries);
    }
}
