import { bucketNotFound, invocationError } from './moray-error.js';
import type { Bucket, SortPart, Transaction } from './store.js';

/** Options of a call, as the client sent them. */
export type Options = Readonly<Record<string, unknown>>;

/** Rows of a search that names no limit. */
export const DEFAULT_LIMIT = 1000;

/** An argument that must be a string. @throws InvocationError */
export function stringArgument(method: string, name: string, value: unknown): string {
    if (typeof value !== 'string') throw invocationError(`${method}: ${name} must be a string`);
    return value;
}

/** An argument that must be an object, absent for `{}`. @throws InvocationError */
export function objectArgument(method: string, name: string, value: unknown): Options {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        throw invocationError(`${method}: ${name} must be an object`);
    }
    return value as Options;
}

/** The bucket of a call. @throws BucketNotFoundError */
export async function requireBucket(transaction: Transaction, name: string): Promise<Bucket> {
    const bucket = await transaction.bucket(name);
    if (bucket === undefined) throw bucketNotFound(name);
    return bucket;
}

/** What a caller expects to find: `null` nothing, `undefined` whatever there is. */
export function etagOption(method: string, options: Options): string | null | undefined {
    const etag = 'etag' in options ? options['etag'] : options['_etag'];
    if (etag === undefined || etag === null || typeof etag === 'string') return etag;
    throw invocationError(`${method}: options.etag must be a string or null`);
}

/** An option that must be a non-negative integer. @throws InvocationError */
export function countOption(method: string, options: Options, name: string): number | undefined {
    const value = options[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
        throw invocationError(`${method}: options.${name} must be a non-negative integer`);
    }
    return value;
}

const ORDERS: readonly unknown[] = ['ASC', 'asc', 'DESC', 'desc'];

/** Option `sort`: one part or several; no order means ascending. @throws InvocationError */
export function sortOption(method: string, options: Options): readonly SortPart[] {
    const { sort } = options;
    if (sort === undefined || sort === null) return [];
    const parts: readonly unknown[] = Array.isArray(sort) ? sort : [sort];
    return parts.map((value) => {
        const part = objectArgument(method, 'options.sort', value);
        const column = stringArgument(method, 'options.sort.attribute', part['attribute']);
        const order = part['order'] ?? 'ASC';
        if (!ORDERS.includes(order)) {
            throw invocationError(`${method}: options.sort.order must be one of ${ORDERS.join(', ')}`);
        }
        return { column, descending: order === 'DESC' || order === 'desc' };
    });
}
