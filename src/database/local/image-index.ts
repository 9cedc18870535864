import { afterMarker, arrange, comparePlaced, predicate, type PlacedImage } from '../match.js';
import type { Filter, Query } from '../query.js';
import { INDEX_FIELDS } from './index-fields.js';
import { SortedImages } from './sorted-images.js';

/** Records filed under one key; most keys have one record only, which then stands for itself. */
type Posting = PlacedImage | SortedImages;

const EMPTY = new SortedImages();

function sizeOf(posting: Posting): number {
    return posting instanceof SortedImages ? posting.size : 1;
}

/** Hash index on one field: key to records. */
class FieldIndex {
    readonly #postings = new Map<string, Posting>();

    get(key: string): Posting | undefined {
        return this.#postings.get(key);
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
        const found: PlacedImage[] = [];
        const visit = (image: PlacedImage): boolean => {
            if (isMatch(image.raw)) {
                found.push(image);
            }
            return found.length < limit;
        };
        const posting = limit > 0 ? this.#smallestPosting(filter) : EMPTY;
        if (posting instanceof SortedImages) {
            posting.walk(order, marker, visit);
        } else if (marker === undefined || afterMarker(posting, marker, order)) {
            visit(posting);
        }
        return found;
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
