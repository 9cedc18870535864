import { provenanceOf } from '../manifest/provenance.js';
import { publishedTime } from '../manifest/published.js';
import { hasTag } from '../manifest/tags.js';
import type { RawImage } from '../manifest/types.js';
import type { StoredImage } from './database.js';
import type { Filter, Marker, Query } from './query.js';

/** Tells whether a record meets a condition. */
export type Predicate = (raw: RawImage) => boolean;

/** A record with its time of publication worked out, see {@link place}. */
export interface PlacedImage extends StoredImage {
    /** Milliseconds since the epoch; 0 without a usable `published_at`. */
    readonly time: number;
}

type ConditionOf<K extends keyof Filter> = (wanted: NonNullable<Filter[K]>) => Predicate;

/** Equal; an empty value is met by nothing (http-api 3.1). */
function equalText(field: 'owner' | 'state' | 'origin' | 'os' | 'name' | 'version' | 'type') {
    return (wanted: string): Predicate => (wanted === '' ? () => false : (raw) => raw[field] === wanted);
}

/** `~text`: contains; else equal. A record without the field contains nothing but the empty text. */
function containedText(field: 'name' | 'version') {
    const equal = equalText(field);
    return (wanted: string): Predicate => {
        if (!wanted.startsWith('~')) {
            return equal(wanted);
        }
        const part = wanted.slice(1);
        return (raw) => (raw[field] ?? '').includes(part);
    };
}

/** `!text`: not equal; else equal. */
function negatableText(field: 'type') {
    const equal = equalText(field);
    return (wanted: string): Predicate => {
        if (!wanted.startsWith('!')) {
            return equal(wanted);
        }
        const unwanted = wanted.slice(1);
        return (raw) => raw[field] !== unwanted;
    };
}

/** Equal as text, for old records hold `"true"` where newer ones hold `true`. */
function equalBoolean(field: 'activated' | 'disabled' | 'public') {
    return (wanted: boolean): Predicate => {
        const text = String(wanted);
        return (raw) => raw[field] === wanted || raw[field] === text;
    };
}

/** The record's array has every wanted entry. */
function containsAll(field: 'acl' | 'billing_tags' | 'channels') {
    return (wanted: readonly string[]): Predicate =>
        (raw) =>
            wanted.every((entry) => raw[field]?.includes(entry) === true);
}

/** As {@link containsAll}; `key=` is also met by a tag `key` of any value (http-api D26). */
function hasTagEntry(raw: RawImage, entry: string): boolean {
    return raw.tags?.includes(entry) === true || (entry.endsWith('=') && hasTag(raw, entry.slice(0, -1)));
}

function notLaterThan(wanted: string): Predicate {
    const limit = Date.parse(wanted);
    return (raw) => typeof raw.expires_at === 'string' && Date.parse(raw.expires_at) <= limit;
}

/** What each key of a filter asks of a record (backends 2.1). */
const CONDITIONS: { readonly [K in keyof Required<Filter>]: ConditionOf<K> } = {
    owner: equalText('owner'),
    state: equalText('state'),
    origin: equalText('origin'),
    os: equalText('os'),
    name: containedText('name'),
    version: containedText('version'),
    type: negatableText('type'),
    activated: equalBoolean('activated'),
    disabled: equalBoolean('disabled'),
    public: equalBoolean('public'),
    acl: containsAll('acl'),
    tags: (wanted) => (raw) => wanted.every((entry) => hasTagEntry(raw, entry)),
    billing_tags: containsAll('billing_tags'),
    channels: containsAll('channels'),
    expires_at: notLaterThan,
    source_image: (wanted) => (raw) => provenanceOf(raw)?.source_image === wanted,
};

/**
 * Prepares a filter for testing many records (backends 2.1). Keys whose value is `undefined` are
 * left out.
 *
 * @throws TypeError for a key that is no filter key: a programming error
 */
export function predicate(filter: Filter): Predicate {
    const conditions: Predicate[] = [];
    for (const [key, wanted] of Object.entries(filter)) {
        if (!Object.hasOwn(CONDITIONS, key)) {
            throw new TypeError(`unsupported Image.filter option: ${JSON.stringify(key)}`);
        }
        if (wanted !== undefined) {
            // Key and value come from the same entry of a Filter, which the compiler cannot follow.
            const condition = CONDITIONS[key as keyof Filter] as (wanted: unknown) => Predicate;
            conditions.push(condition(wanted));
        }
    }
    return (raw) => conditions.every((condition) => condition(raw));
}

/** Tells whether a record meets every condition of a filter (backends 2.1). */
export function matches(filter: Filter, raw: RawImage): boolean {
    return predicate(filter)(raw);
}

/** Works out a record's place in the total order once, for sorting and indexes. */
export function place(image: StoredImage): PlacedImage {
    return { raw: image.raw, token: image.token, time: publishedTime(image.raw) };
}

/** Compares two positions of the total order: by time, then by uuid (backends 2.2). */
export function comparePositions(timeA: number, uuidA: string, timeB: number, uuidB: string): number {
    if (timeA !== timeB) {
        return timeA - timeB;
    }
    return uuidA < uuidB ? -1 : uuidA > uuidB ? 1 : 0;
}

/** The total order of records, ascending (backends 2.2). */
export function comparePlaced(a: PlacedImage, b: PlacedImage): number {
    return comparePositions(a.time, a.raw.uuid, b.time, b.raw.uuid);
}

/** As {@link comparePlaced}, for records whose times are not worked out yet. */
export function compareImages(a: RawImage, b: RawImage): number {
    return comparePositions(publishedTime(a), a.uuid, publishedTime(b), b.uuid);
}

/** The uuid a marker stands for: without one it is before (ascending) or behind every uuid of its time. */
export function markerUuid(marker: Marker, order: Query['order']): string {
    return marker.uuid ?? (order === 'asc' ? '' : '\uffff');
}

/** Tells whether a record is at the marker or behind it, seen in the direction of the search (backends 2.2). */
export function afterMarker(image: PlacedImage, marker: Marker, order: Query['order']): boolean {
    const distance = comparePositions(image.time, image.raw.uuid, marker.time, markerUuid(marker, order));
    return order === 'asc' ? distance >= 0 : distance <= 0;
}

/** Puts records that match into the order of a search, each once, and cuts at its limit (backends 2.2). */
export function arrange<T extends PlacedImage>(found: Iterable<T>, query: Query): T[] {
    const sign = query.order === 'asc' ? 1 : -1;
    const sorted = [...new Set(found)].sort((a, b) => sign * comparePlaced(a, b));
    return query.limit === undefined ? sorted : sorted.slice(0, query.limit);
}

/**
 * A whole search over any records: filter, order, marker, limit (backends 2.1, 2.2). It is what every
 * database answers, however it finds its records.
 *
 * @throws the signal's reason when the search is aborted already
 */
export function applyQuery(images: Iterable<StoredImage>, query: Query): readonly StoredImage[] {
    query.signal?.throwIfAborted();
    const { marker, order } = query;
    const predicates = query.anyOf.map(predicate);
    const found: PlacedImage[] = [];
    for (const image of images) {
        if (predicates.some((test) => test(image.raw))) {
            const placed = place(image);
            if (marker === undefined || afterMarker(placed, marker, order)) {
                found.push(placed);
            }
        }
    }
    return arrange(found, query);
}
