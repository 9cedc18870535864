import { isObject } from '../../manifest/coerce.js';

/** A row as Moray hands it out. */
export interface Row {
    readonly key: string;
    /** What was put, but for what the columns of indexes made of it (backends 4.3). */
    readonly value: Readonly<Record<string, unknown>>;
    /** CRC-32 of the JSON text that was put, hex. */
    readonly etag: string;
    /** When it was put, milliseconds since the epoch; `undefined` when not told. */
    readonly mtime: number | undefined;
}

/** @throws Error when Moray's answer is no row */
export function toRow(data: unknown): Row {
    if (!isObject(data) || typeof data['key'] !== 'string' || !isObject(data['value'])) {
        throw new Error('Moray answered with something that is no object');
    }
    const { key, value, _etag: etag, _mtime: mtime } = data;
    if (typeof etag !== 'string') {
        throw new Error('Moray answered without an etag');
    }
    return { key, value, etag, mtime: typeof mtime === 'number' ? mtime : undefined };
}

/** The etag of a row that was put alone or in a batch. @throws Error when Moray's answer has none */
export function etagOf(answer: unknown, key: string): string {
    const { etag, etags } = isObject(answer) ? answer : {};
    const entries: readonly unknown[] = Array.isArray(etags) ? etags : [{ key, etag }];
    const entry = entries.find((candidate) => isObject(candidate) && candidate['key'] === key);
    if (!isObject(entry) || typeof entry['etag'] !== 'string') {
        throw new Error('Moray answered without an etag');
    }
    return entry['etag'];
}
