import type { RawImage } from '../../manifest/types.js';
import type { StoredImage } from '../database.js';
import { afterMarker, arrange, place, predicate, type PlacedImage } from '../match.js';
import type { Query } from '../query.js';
import type { MorayConnection } from './connection.js';
import { allOf, pushDown, type Pushed } from './filter-text.js';
import type { Row } from './rows.js';
import { pageSize, readSegment, type Segment } from './segment.js';

/** Characters of an ISO date up to the second. */
const SECOND = 'YYYY-MM-DDThh:mm:ss'.length;
const FIRST_TIME = Date.parse('0000-01-01T00:00:00Z');
const LAST_TIME = Date.parse('9999-12-31T23:59:59Z');

/** Where to search. */
export interface SearchOptions {
    readonly moray: MorayConnection;
    readonly bucket: string;
    /** The record of a row; `undefined`: unusable. */
    readonly toImage: (row: Row) => StoredImage | undefined;
}

/** A time as it bounds stored dates with and without milliseconds (backends 4.3, step 4). */
function secondText(time: number): string {
    return new Date(time).toISOString().slice(0, SECOND);
}

/** From where dates are read: the marker's second, ascending; the one after it, descending. */
function publishedFrom({ marker, order }: Query): string | undefined {
    if (marker === undefined) {
        return undefined;
    }
    if (order === 'asc') {
        return marker.time < FIRST_TIME ? undefined : secondText(Math.min(marker.time, LAST_TIME));
    }
    const next = marker.time + 1000;
    return next > LAST_TIME ? undefined : secondText(Math.max(next, FIRST_TIME));
}

/** One search: what is asked of Moray, and what is found so far (backends 4.3). */
class Search {
    readonly #options: SearchOptions;
    readonly #query: Query;
    readonly #matches: (raw: RawImage) => boolean;
    readonly #pushed: Pushed;
    readonly #signal: AbortSignal | undefined;
    /** By uuid: a row may come twice. */
    readonly #found = new Map<string, PlacedImage>();

    constructor(options: SearchOptions, query: Query, signal: AbortSignal | undefined) {
        this.#options = options;
        this.#query = query;
        this.#signal = signal;
        const predicates = query.anyOf.map(predicate);
        this.#matches = (raw) => predicates.some((test) => test(raw));
        this.#pushed = pushDown(query.anyOf);
    }

    async run(): Promise<readonly StoredImage[]> {
        const { anyOf, order, marker, limit } = this.#query;
        if (anyOf.length === 0 || limit === 0) {
            return [];
        }
        if (limit === undefined && marker === undefined) {
            // The order is made here, so one plain reading of all is the least work.
            await this.#collect(this.#segment('uuid', undefined, undefined));
        } else if (order === 'desc' && limit !== undefined) {
            await this.#readPublished();
            if (!this.#isEnough(limit)) {
                await this.#readUnpublished();
            }
        } else {
            await Promise.all([this.#readUnpublished(), this.#readPublished()]);
        }
        return arrange(this.#found.values(), this.#query);
    }

    async #readPublished(): Promise<void> {
        await this.#collect(this.#segment('published_at', '(published_at=*)', publishedFrom(this.#query)));
    }

    /** Records without a date are at time 0 (backends 2.2). */
    async #readUnpublished(): Promise<void> {
        const { marker, order } = this.#query;
        const isBefore = marker !== undefined && (order === 'asc' ? marker.time > 0 : marker.time < 0);
        if (isBefore || !this.#pushed.mayBeUnpublished) {
            return;
        }
        const from = marker?.time === 0 ? marker.uuid : undefined;
        await this.#collect(this.#segment('uuid', '(!(published_at=*))', from));
    }

    #segment(
        field: Segment['field'],
        presence: string | undefined,
        from: string | undefined,
    ): Omit<Segment, 'pageSize'> {
        const { text } = this.#pushed;
        const { order } = this.#query;
        return {
            bucket: this.#options.bucket,
            field,
            order,
            condition: allOf([text, presence]),
            from,
            signal: this.#signal,
        };
    }

    /** Whether so many were found that what lies before time 0 cannot matter. */
    #isEnough(limit: number): boolean {
        let count = 0;
        for (const { time } of this.#found.values()) {
            count += time > 0 ? 1 : 0;
        }
        return count >= limit;
    }

    /**
     * Reads a segment until it has given as many as are wanted. Dates of one second may come in
     * another order than their times are in, so a second is always read to its end.
     */
    async #collect(segment: Omit<Segment, 'pageSize'>): Promise<void> {
        const wanted = this.#query.limit ?? Infinity;
        const found = new Set<string>();
        let lastSecond: string | undefined;
        const size = (page: number) => pageSize(page, wanted - found.size, this.#pushed.isExact);
        for await (const rows of readSegment(this.#options.moray, { ...segment, pageSize: size })) {
            for (const row of rows) {
                const second = segment.field === 'uuid' ? row.key : secondOf(row);
                if (found.size >= wanted && second !== lastSecond) {
                    return;
                }
                lastSecond = second;
                if (this.#take(row)) {
                    found.add(row.key);
                }
            }
        }
    }

    #take(row: Row): boolean {
        const image = this.#options.toImage(row);
        if (image === undefined || !this.#matches(image.raw)) {
            return false;
        }
        const placed = place(image);
        const { marker, order } = this.#query;
        if (marker !== undefined && !afterMarker(placed, marker, order)) {
            return false;
        }
        this.#found.set(row.key, placed);
        return true;
    }
}

function secondOf({ value }: Row): string {
    return String(value['published_at']).slice(0, SECOND);
}

/**
 * Searches as every database does (backends 2.2): Moray finds what may match, in an order near the
 * wanted one; which of it matches, and the exact order, is judged here.
 *
 * @throws the client's errors; the signal's reason when aborted
 */
export async function searchImages(options: SearchOptions, query: Query): Promise<readonly StoredImage[]> {
    query.signal?.throwIfAborted();
    // Of two readings at the same time the other is of no use when one fails.
    const failed = new AbortController();
    const signals = query.signal === undefined ? [failed.signal] : [failed.signal, query.signal];
    try {
        return await new Search(options, query, AbortSignal.any(signals)).run();
    } catch (error) {
        failed.abort();
        throw error;
    }
}
