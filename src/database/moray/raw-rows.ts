import { isObject } from '../../manifest/coerce.js';
import { IMAGES, type Bucket } from './bucket.js';
import type { MorayConnection } from './connection.js';
import { escapeValue } from './filter-text.js';
import { isMissing } from './failures.js';
import { etagOf, toRow, type Row } from './rows.js';

/** Rows asked for at once. */
const PAGE = 1000;

/** A bucket as Moray describes it: what of it must be said again when it changes. */
export interface BucketState {
    readonly index: Readonly<Record<string, { readonly type?: string; readonly unique?: boolean }>>;
    readonly pre: readonly unknown[];
    readonly post: readonly unknown[];
    readonly options: Readonly<Record<string, unknown>>;
}

/**
 * Every row of a bucket in order of their keys, whatever is in them. One that is written meanwhile comes as it
 * was or as it is.
 *
 * @throws the client's errors; the signal's reason when aborted
 */
export async function* allRows(
    moray: MorayConnection,
    { name }: Bucket = IMAGES,
    signal?: AbortSignal,
): AsyncGenerator<Row, void, undefined> {
    const options = { limit: PAGE, sort: [{ attribute: '_key', order: 'ASC' }], no_count: true };
    for (let last: string | undefined; ;) {
        const filter = last === undefined ? '(_key=*)' : `(_key>=${escapeValue(last)})`;
        const found = (await moray.find(name, filter, options, signal)).map(toRow);
        yield* found.filter(({ key }) => key !== last);
        const next = found.at(-1)?.key;
        if (found.length < PAGE || next === last) {
            return;
        }
        last = next;
    }
}

/** One row; `undefined`: there is none. @throws the client's errors */
export async function findRow(
    moray: MorayConnection,
    key: string,
    { name }: Bucket = IMAGES,
): Promise<Row | undefined> {
    try {
        return toRow(
            await moray.call(moray.deadline(), (client, done) =>
                client.getObject(name, key, { noCache: true }, done),
            ),
        );
    } catch (error) {
        if (isMissing(error)) {
            return undefined;
        }
        throw error;
    }
}

/**
 * Puts a value in the place of the version `etag` of a row; `null`: of none. Resolves to the new etag.
 *
 * @throws the client's errors
 */
export async function putRow(
    moray: MorayConnection,
    { key, value, etag }: { readonly key: string; readonly value: object; readonly etag: string | null },
    { name }: Bucket = IMAGES,
): Promise<string> {
    // Another Moray process may remember the bucket as it was before a column was added.
    const options = { etag, noBucketCache: true };
    const answer = await moray.call(moray.deadline(), (client, done) =>
        client.putObject(name, key, value, options, done),
    );
    return etagOf({ ...(answer as object), key }, key);
}

function listOf(value: unknown): readonly unknown[] {
    return Array.isArray(value) ? value : [];
}

/** The bucket as it is now. @throws the client's errors */
export async function readBucket(moray: MorayConnection, { name }: Bucket = IMAGES): Promise<BucketState> {
    const answer = await moray.call(moray.deadline(), (client, done) => client.getBucket(name, {}, done));
    const { index, pre, post, options } = isObject(answer) ? answer : {};
    if (!isObject(index)) {
        throw new Error(`Moray described bucket ${name} without its index`);
    }
    return {
        index: index as BucketState['index'],
        pre: listOf(pre),
        post: listOf(post),
        options: isObject(options) ? options : {},
    };
}

/** Names of the columns that a bucket lacks. */
export function missingColumns({ index }: BucketState, wanted: Bucket = IMAGES): readonly string[] {
    return Object.keys(wanted.index).filter((column) => !Object.hasOwn(index, column));
}

/** Columns of another type than they are searched by, each with its type. */
export function oddColumns({ index }: BucketState, wanted: Bucket = IMAGES): readonly string[] {
    return Object.entries(wanted.index)
        .filter(([column, { type }]) => Object.hasOwn(index, column) && index[column]?.type !== type)
        .map(([column, { type }]) => `${column} (${index[column]?.type ?? 'no type'}, not ${type})`);
}

/**
 * Adds the columns that a bucket lacks, and changes nothing else (backends 4.1). Moray then drops their fields
 * from every row until that is put again.
 *
 * @throws the client's errors
 */
export async function addColumns(moray: MorayConnection, wanted: Bucket = IMAGES): Promise<void> {
    const { index, ...rest } = await readBucket(moray, wanted);
    if (typeof rest.options['version'] === 'number' && rest.options['version'] > 0) {
        throw new Error(
            `bucket ${wanted.name} has a version, which servers never give it: nothing was changed`,
        );
    }
    const config = { ...rest, index: { ...wanted.index, ...index } };
    await moray.call(moray.deadline(), (client, done) => client.updateBucket(wanted.name, config, {}, done));
}
