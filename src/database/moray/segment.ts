import type { MorayConnection } from './connection.js';
import { allOf, escapeValue } from './filter-text.js';
import { toRow, type Row } from './rows.js';

/** Rows beyond the wanted ones: the last of the page before, and one that shows where to stop. */
const EXTRA_ROWS = 2;
/** Most rows that are asked for at once: what the longest list of a request needs. */
const MAX_PAGE = 1000 + EXTRA_ROWS;
/** Fewest rows that are asked for when not all of them may match. */
const MIN_INEXACT_PAGE = 100;
/** How much larger the smallest page gets with each page. */
const GROWTH = 4;
/** How often rows may have moved under a search before it goes on regardless. */
const MAX_MOVES = 5;

/** Rows of a bucket in the order of one field, to be read page by page (backends 4.3, step 5). */
export interface Segment {
    readonly bucket: string;
    /** What the rows are ordered by; rows of one value by uuid. */
    readonly field: 'published_at' | 'uuid';
    readonly order: 'asc' | 'desc';
    /** What every row has to meet; `undefined`: nothing. */
    readonly condition: string | undefined;
    /** Where it starts; `undefined`: at the very first row. */
    readonly from: string | undefined;
    /** Rows to ask for on a page, counted from 0. */
    readonly pageSize: (page: number) => number;
    readonly signal: AbortSignal | undefined;
}

/** Where the next page starts. */
interface Position {
    readonly bound: string | undefined;
    /** Rows to be left out that meet the bound. */
    readonly offset: number;
    /** Uuid of the row that is expected first, having been read already. */
    readonly overlap: string | undefined;
}

/**
 * How many rows a page of a search asks for.
 *
 * @param page its number, from 0
 * @param missing records that are still wanted, maybe `Infinity`
 * @param isExact whether all rows match
 */
export function pageSize(page: number, missing: number, isExact: boolean): number {
    const wanted = Math.max(0, missing) + EXTRA_ROWS;
    const size = page === 0 && isExact ? wanted : Math.max(MIN_INEXACT_PAGE * GROWTH ** page, 2 * wanted);
    return Math.min(MAX_PAGE, size);
}

function filterText({ condition, field, order }: Segment, bound: string | undefined): string {
    const sign = order === 'asc' ? '>=' : '<=';
    const part = bound === undefined ? undefined : `(${field}${sign}${escapeValue(bound)})`;
    return allOf([condition, part]) ?? '(uuid=*)';
}

function sortOf({ field, order }: Segment): readonly object[] {
    const fields = field === 'uuid' ? ['uuid'] : [field, 'uuid'];
    return fields.map((attribute) => ({ attribute, order: order.toUpperCase() }));
}

function valueOf(row: Row, field: Segment['field']): unknown {
    return field === 'uuid' ? row.key : row.value[field];
}

/** The position behind the last of these rows, which were found at `position`. */
function behind(rows: readonly Row[], position: Position, field: Segment['field']): Position {
    const last = rows.at(-1);
    const value = last === undefined ? undefined : valueOf(last, field);
    const overlap = last?.key;
    if (typeof value !== 'string' || value.trim() === '' || value === position.bound) {
        return { bound: position.bound, offset: position.offset + rows.length - 1, overlap };
    }
    const equal = rows.filter((row) => valueOf(row, field) === value).length;
    return { bound: value, offset: equal - 1, overlap };
}

/**
 * Reads a segment in order, page by page, until the caller has enough. Each page starts at the last
 * row of the one before: if that is gone from its place then rows have moved meanwhile, and all rows
 * of its value are read again. So a row may come twice, but none that stays is left out.
 */
export async function* readSegment(moray: MorayConnection, segment: Segment): AsyncGenerator<readonly Row[]> {
    const { bucket, field, signal } = segment;
    let position: Position = { bound: segment.from, offset: 0, overlap: undefined };
    let moves = 0;
    for (let page = 0; ; page += 1) {
        const limit = segment.pageSize(page);
        const { bound, offset, overlap } = position;
        const options = { limit, offset, sort: sortOf(segment), no_count: true };
        const found = await moray.find(bucket, filterText(segment, bound), options, signal);
        const rows = found.map(toRow);
        if (overlap !== undefined && rows[0]?.key !== overlap && moves < MAX_MOVES) {
            moves += 1;
            position = { bound, offset: 0, overlap: undefined };
            continue;
        }
        yield overlap !== undefined && rows[0]?.key === overlap ? rows.slice(1) : rows;
        if (rows.length < limit) {
            return;
        }
        position = behind(rows, position, field);
    }
}
