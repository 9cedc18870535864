import { countOption, DEFAULT_LIMIT, sortOption } from './arguments.js';
import type { Options } from './arguments.js';
import { ROW_FIELDS } from './columns.js';
import { readFilter } from './filter.js';
import { objectOf } from './objects.js';
import { notIndexed } from './moray-error.js';
import type { Bucket, Selection, StoredRow, Transaction } from './store.js';

/** Rows of a search that pass the whole filter, and how many the database had found. */
export interface Found {
    readonly rows: readonly StoredRow[];
    readonly count?: number;
}

/**
 * Rows that a filter finds. The database applies what it can of the filter, then order, offset and
 * limit; only then the whole filter is applied to what is left (backends 4.3), so pages may be short.
 * @throws InvocationError, NotIndexedError
 */
export async function search(
    transaction: Transaction,
    bucket: Bucket,
    filterText: string,
    options: Options,
    method: string,
): Promise<Found> {
    const limit = countOption(method, options, 'limit') ?? DEFAULT_LIMIT;
    const offset = countOption(method, options, 'offset') ?? 0;
    const sort = sortOption(method, options);
    const filter = readFilter(bucket, filterText, options['requireIndexes'] === true);
    const unsortable = sort.find(({ column }) => !(column in bucket.index) && !(column in ROW_FIELDS));
    if (unsortable !== undefined) {
        throw notIndexed(bucket.name, filterText, `no index ${unsortable.column} to sort by`);
    }
    const selection: Selection = {
        where: filter.where,
        sort,
        offset,
        count: method === 'findObjects' && options['no_count'] !== true,
        ...(options['noLimit'] === true ? {} : { limit }),
    };
    const { rows, count } = await transaction.select(bucket, selection);
    const exact = rows.filter((row) => {
        const { value, _id, _etag, _mtime } = objectOf(bucket, row);
        return filter.matches({ ...value, _id, _etag, _mtime, _key: row.key });
    });
    return count === undefined ? { rows: exact } : { rows: exact, count };
}
