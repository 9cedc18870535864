import type { RawImage } from '../manifest/types.js';
import type { Query } from './query.js';

/** A record and the version of it that was read. */
export interface StoredImage {
    /** Validated, normalised, deeply frozen. The same object for the same version while it is held in memory. */
    readonly raw: RawImage;
    /** Opaque; equal tokens mean equal records (Moray: etag, local: counter). */
    readonly token: string;
}

/**
 * A change of a record: gets the current record and returns the new one, or `undefined` to leave it.
 * It may run more than once, each time with a newer record, and may throw to refuse. It may wait,
 * e.g. for the archive; what it does outside must then bear being done again.
 */
export type Change = (raw: RawImage) => RawImage | undefined | Promise<RawImage | undefined>;

/**
 * Keeps the records of images (backends 2).
 *
 * Promises of every backend, checked by the contract suite:
 * - a record is on stable storage before a promise resolves, and visible to every later call of this
 *   process; a rejected change leaves the old record in place, in memory and on disk;
 * - `update` calls of one uuid do not lose each other's changes;
 * - records handed out are deeply frozen;
 * - errors are {@link ApiError}s: 404 `image <uuid> not found`, 409 for a uuid that exists, 503
 *   `service unavailable` with `Retry-After: 5` when the database cannot be reached, 503
 *   `StorageIsDown` for a full or read-only disk, else 500 `error saving image <uuid>`,
 *   `error modifying image <uuid>` or `could not delete image <uuid>` (backends 4.4).
 */
export interface Database {
    /** Makes the database ready to read and, unless it is a reader, to write. */
    setup(): Promise<void>;

    /** @throws 404 when there is no such image; 404 `not found` when its record is invalid */
    get(uuid: string): Promise<StoredImage>;

    /** Filters, then orders, then applies marker and limit (backends 2.2). */
    search(query: Query): Promise<readonly StoredImage[]>;

    /** Stores a new record; 409 if the uuid exists. The record is validated by the caller. */
    create(raw: RawImage): Promise<StoredImage>;

    /** Reads, changes and stores a record, unless changed meanwhile; resolves to what is stored now. */
    update(uuid: string, change: Change): Promise<StoredImage>;

    /** Stores `raw` under its own uuid and removes `oldUuid` as one step; 409 if the new uuid exists. */
    move(oldUuid: string, raw: RawImage): Promise<StoredImage>;

    /** Removes a record; with `token`, only if it is still that version (else 409 is not used: 503). */
    del(uuid: string, token?: string): Promise<void>;

    /** Checks that the database can be read; rejects with the reason. */
    ping(): Promise<void>;

    /** Ends all background work; no call may follow. */
    close(): Promise<void>;
}
