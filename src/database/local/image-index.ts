import { afterMarker, arrange, comparePlaced, predicate, type PlacedImage } from '../match.js';
import type { Filter, Marker, Query } from '../query.js';
import { INDEX_FIELDS } from './index-fields.js';
import { SortedImages } from './sorted-images.js';

/** Records filed under one key; most keys have one record only, which then stands for itself. */
type Posting = PlacedImage | SortedImages;

const EMPTY = new SortedImages();

/**
 * Most records that are gathered by part of a name. More matches than this lie so close together in
 * the total order that walking it is quick.
 */
const MAX_GATHERED = 4_096;

function sizeOf(posting: Posting): number {
    return posting instanceof SortedImages ? posting.size : 1;
}

/** {@link SortedImages.walk} of any posting. */
function walk(
    posting: Posting,
    order: Query['order'],
    marker: Marker | undefined,
    visit: (image: PlacedImage) => boolean,
): void {
    if (posting instanceof SortedImages) {
        posting.walk(order, marker, visit);
    } else if (marker === undefined || afterMarker(posting, marker, order)) {
        visit(posting);
    }
}

/** Hash index on one field: key to records. */
class FieldIndex {
    readonly #postings = new Map<string, Posting>();

    get(key: string): Posting | undefined {
        return this.#postings.get(key);
    }

    /** Number of keys. */
    get size(): number {
        return this.#postings.size;
    }

    /** Records whose key contains `part`; `undefined` when they are more than {@link MAX_GATHERED}. */
    gather(part: string): PlacedImage[] | undefined {
        const postings: Posting[] = [];
        let total = 0;
        for (const [key, posting] of this.#postings) {
            if (key.includes(part)) {
                total += sizeOf(posting);
                if (total > MAX_GATHERED) {
                    return undefined;
                }
                postings.push(posting);
            }
        }
        const found: PlacedImage[] = [];
        for (const posting of postings) {
            walk(posting, 'asc', undefined, (image) => found.push(image) > 0);
        }
        return found;
    }

    add(key: string, image: PlacedImage): void {
        const posting = this.#postings.get(key);
        if (posting === undefined) {
            this.#postings.set(key, image);
        } else if (posting instanceof SortedImages) {
            posting.add(image);
        } else {
            const several = new SortedImages();
            several.add(posting);
            several.add(image);
            this.#postings.set(key, several);
        }
    }

    remove(key: string, image: PlacedImage): void {
        const posting = this.#postings.get(key);
        if (posting instanceof SortedImages) {
            posting.remove(image);
            if (posting.size === 0) {
                this.#postings.delete(key);
            }
        } else if (posting === image) {
            this.#postings.delete(key);
        }
    }
}

/**
 * All records in memory: by uuid, in the total order, and by the fields of {@link INDEX_FIELDS}
 * (backends 3). A search walks the smallest list that must hold every match, from the marker on, and
 * stops at the limit.
 */
export class ImageIndex {
    readonly #byUuid = new Map<string, PlacedImage>();
    readonly #ordered = new SortedImages();
    readonly #fields = INDEX_FIELDS.map((field) => ({ ...field, index: new FieldIndex() }));

    /** Number of records. */
    get size(): number {
        return this.#byUuid.size;
    }

    /** The record of a uuid. */
    get(uuid: string): PlacedImage | undefined {
        return this.#byUuid.get(uuid);
    }

    /** All uuids, in no particular order. */
    uuids(): Iterable<string> {
        return this.#byUuid.keys();
    }

    /** All records, in no particular order. */
    images(): Iterable<PlacedImage> {
        return this.#byUuid.values();
    }

    /** Files many records at once, which is cheapest in order. */
    putAll(images: PlacedImage[]): void {
        for (const image of images.sort(comparePlaced)) {
            this.put(image);
        }
    }

    /** Files a record in place of the one of the same uuid, if any. */
    put(image: PlacedImage): void {
        this.remove(image.raw.uuid);
        this.#byUuid.set(image.raw.uuid, image);
        this.#ordered.add(image);
        for (const { index, keysOf } of this.#fields) {
            for (const key of keysOf(image.raw)) {
                index.add(key, image);
            }
        }
    }

    /** Forgets a record; one that is not there counts as forgotten. */
    remove(uuid: string): void {
        const image = this.#byUuid.get(uuid);
        if (image === undefined) {
            return;
        }
        this.#byUuid.delete(uuid);
        this.#ordered.remove(image);
        for (const { index, keysOf } of this.#fields) {
            for (const key of keysOf(image.raw)) {
                index.remove(key, image);
            }
        }
    }

    /** Filters, orders, applies marker and limit (backends 2.2). */
    search(query: Query): PlacedImage[] {
        const [first, ...others] = query.anyOf.map((filter) => this.#find(filter, query));
        if (first === undefined || others.length === 0) {
            return first ?? [];
        }
        // Each part holds its own first matches up to the limit, so together they hold the first of all.
        return arrange([first, ...others].flat(), query);
    }

    #find(filter: Filter, query: Query): PlacedImage[] {
        const { marker, order, limit = Infinity } = query;
        const isMatch = predicate(filter);
        if (limit <= 0) {
            return [];
        }
        const posting = this.#smallestPosting(filter);
        const gathered = this.#gather(filter, sizeOf(posting));
        if (gathered !== undefined) {
            const isFound = (image: PlacedImage): boolean =>
                isMatch(image.raw) && (marker === undefined || afterMarker(image, marker, order));
            return arrange(gathered.filter(isFound), query);
        }
        const found: PlacedImage[] = [];
        walk(posting, order, marker, (image) => {
            if (isMatch(image.raw)) {
                found.push(image);
            }
            return found.length < limit;
        });
        return found;
    }

    /** The records that have a wanted part in their name or version, if asking for them beats testing `others` records. */
    #gather(filter: Filter, others: number): PlacedImage[] | undefined {
        for (const { index, partWantedBy } of this.#fields) {
            const part = partWantedBy?.(filter);
            if (part !== undefined && index.size < others) {
                return index.gather(part);
            }
        }
        return undefined;
    }

    /** The shortest list that holds every match: all records, unless an index has a shorter one. */
    #smallestPosting(filter: Filter): Posting {
        let smallest: Posting = this.#ordered;
        for (const { index, wantedBy } of this.#fields) {
            for (const key of wantedBy(filter)) {
                const posting = index.get(key) ?? EMPTY;
                if (sizeOf(posting) < sizeOf(smallest)) {
                    smallest = posting;
                }
            }
        }
        return smallest;
    }
}
