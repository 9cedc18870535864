import { columnLiteral } from './columns.js';
import { etagOf, objectOf, rowOf } from './objects.js';
import { etagConflict, invocationError, notIndexed, objectNotFound } from './moray-error.js';
import { search } from './search.js';
import type { Options } from './arguments.js';
import type { Bucket, Transaction } from './store.js';

/** A value to store; every field of it may be indexed. */
export type Value = Readonly<Record<string, unknown>>;

/**
 * Creates or replaces an object and resolves to its etag.
 * @param expected etag it must have now; `null` that it must not be there; `undefined` for anything
 * @throws EtagConflictError, UniqueAttributeError, InternalError
 */
export async function put(
    transaction: Transaction,
    bucket: Bucket,
    key: string,
    value: Value,
    expected: string | null | undefined,
): Promise<string> {
    const old = await transaction.load(bucket, key);
    const actual = old?.etag ?? null;
    if (expected !== undefined && expected !== actual) throw etagConflict(bucket.name, key, expected, actual);
    const row = rowOf(bucket, key, value);
    if (old === undefined) await transaction.insert(bucket, row);
    else await transaction.replace(bucket, row);
    return row.etag;
}

/** Removes an object. @throws ObjectNotFoundError, EtagConflictError */
export async function remove(
    transaction: Transaction,
    bucket: Bucket,
    key: string,
    expected: string | null | undefined,
): Promise<void> {
    const old = await transaction.load(bucket, key);
    if (old === undefined) throw objectNotFound(bucket.name, key);
    if (expected !== undefined && expected !== old.etag) {
        throw etagConflict(bucket.name, key, expected, old.etag);
    }
    await transaction.remove(bucket, key);
}

/** How many objects changed, and the etag that they all have now. */
export interface ManyUpdated {
    readonly count: number;
    readonly etag: string;
}

/**
 * Sets index columns of every object that a filter finds. The JSON text stays; reads show the columns.
 * @throws NotIndexedError for a field without index; InvocationError without any field
 */
export async function updateMany(
    transaction: Transaction,
    bucket: Bucket,
    fields: Value,
    filter: string,
    options: Options,
): Promise<ManyUpdated> {
    const names = Object.keys(fields);
    if (names.length === 0) throw invocationError('updateObjects: fields must not be empty');
    const literals: Record<string, string | null> = {};
    for (const name of names) {
        const definition = bucket.index[name];
        if (definition === undefined) throw notIndexed(bucket.name, filter, `no index ${name} to update`);
        literals[name] = columnLiteral(definition.type, fields[name]);
    }
    const { rows } = await search(transaction, bucket, filter, options, 'updateObjects');
    const etag = etagOf(JSON.stringify(fields) + String(Date.now()));
    for (const { key } of rows) {
        await transaction.patch(bucket, key, { etag, mtime: Date.now(), literals });
    }
    return { count: rows.length, etag };
}

/** Removes every object that a filter finds and resolves to their number. */
export async function removeMany(
    transaction: Transaction,
    bucket: Bucket,
    filter: string,
    options: Options,
): Promise<number> {
    const { rows } = await search(transaction, bucket, filter, options, 'deleteMany');
    for (const { key } of rows) await transaction.remove(bucket, key);
    return rows.length;
}

/** Fills the columns of up to `limit` rows that are older than the bucket; resolves to their number. */
export async function reindex(transaction: Transaction, bucket: Bucket, limit: number): Promise<number> {
    const version = bucket.options.version;
    const rows = await transaction.stale(bucket, version, limit);
    for (const row of rows) {
        const { value } = objectOf(bucket, row);
        const { literals } = rowOf(bucket, row.key, value);
        await transaction.patch(bucket, row.key, { rowVersion: version, literals });
    }
    if (rows.length === 0 && Object.keys(bucket.reindexActive).length > 0) {
        await transaction.changeBucket(bucket, { ...bucket, reindexActive: {} });
    }
    return rows.length;
}
