import type { ImageState } from '../manifest/types.js';

/**
 * Conditions on a record, all of which must hold (backends 2.1). A key that is absent does not
 * matter. `name` and `version`: `~text` means "contains text". `type`: `!text` means "is not text".
 * Arrays: the record's array contains every entry; a `tags` entry `key=` means "has the tag `key`".
 */
export interface Filter {
    readonly owner?: string;
    readonly state?: ImageState;
    readonly origin?: string;
    readonly os?: string;
    readonly name?: string;
    readonly version?: string;
    readonly type?: string;
    readonly activated?: boolean;
    readonly disabled?: boolean;
    readonly public?: boolean;
    readonly acl?: readonly string[];
    readonly tags?: readonly string[];
    readonly billing_tags?: readonly string[];
    readonly channels?: readonly string[];
    /** ISO date; matches records whose `expires_at` is not later. */
    readonly expires_at?: string;
    /** Image that the record was made from, by its provenance (jobs-and-imports 8.6). */
    readonly source_image?: string;
}

/** Where a page starts: inclusive. Without `uuid`, at every record of that time or behind it. */
export interface Marker {
    /** Milliseconds since the epoch; a record without `published_at` is at 0. */
    readonly time: number;
    readonly uuid?: string;
}

/** A search (backends 2.2). */
export interface Query {
    /** A record matches if any of these does; duplicates appear once. An empty list matches nothing. */
    readonly anyOf: readonly Filter[];
    readonly order: 'asc' | 'desc';
    readonly marker?: Marker;
    /** Most records to return; absent: all. */
    readonly limit?: number;
    readonly signal?: AbortSignal;
    /**
     * The account a list is read for, `''` for an operator: it may be a little old, and is never shared
     * with another account (backends C3, C5). Absent: the search must see every change (C6).
     */
    readonly cacheFor?: string;
}
