import { crc32 } from 'node:zlib';
import { columnLiteral } from './columns.js';
import type { Bucket, Literals, NewRow, StoredRow } from './store.js';

/** An object as Moray answers it. */
export interface MorayObject {
    readonly bucket: string;
    readonly key: string;
    readonly value: Readonly<Record<string, unknown>>;
    readonly _id: number;
    readonly _etag: string;
    /** Milliseconds since 1970. */
    readonly _mtime: number;
    /** Moray fills it only for buckets that track modifications. */
    readonly _txn_snap: null;
    /** In answers of findObjects, unless `no_count`. */
    readonly _count?: number;
}

/** Version of an object: CRC-32 of its JSON text. */
export function etagOf(text: string): string {
    return crc32(text).toString(16).padStart(8, '0');
}

/** Index columns of a value. */
export function literalsOf(bucket: Bucket, value: Readonly<Record<string, unknown>>): Literals {
    return Object.fromEntries(
        Object.entries(bucket.index).map(([name, { type }]) => [name, columnLiteral(type, value[name])]),
    );
}

/** The row that a put of this value stores. */
export function rowOf(bucket: Bucket, key: string, value: Readonly<Record<string, unknown>>): NewRow {
    const text = JSON.stringify(value);
    return {
        key,
        value: text,
        etag: etagOf(text),
        mtime: Date.now(),
        rowVersion: bucket.options.version,
        literals: literalsOf(bucket, value),
    };
}

/**
 * The object of a row: each indexed field gets the value of its column, and is gone if that is null.
 * Columns that are still being filled for rows of older versions are left alone.
 */
export function objectOf(bucket: Bucket, row: StoredRow, count?: number): MorayObject {
    const value = JSON.parse(row.value) as Record<string, unknown>;
    const filling = new Set(Object.values(bucket.reindexActive).flat());
    for (const name of Object.keys(bucket.index)) {
        if (filling.has(name)) continue;
        const column = row.columns[name] ?? null;
        if (column !== null) value[name] = column;
        else Reflect.deleteProperty(value, name);
    }
    const { key, id, etag, mtime } = row;
    const object = {
        bucket: bucket.name,
        key,
        value,
        _id: id,
        _etag: etag,
        _mtime: mtime,
        _txn_snap: null,
    };
    return count === undefined ? object : { ...object, _count: count };
}
