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

/** As {@link Change}, of a record that gets another uuid. */
export type MoveChange = (raw: RawImage) => RawImage | Promise<RawImage>;

/** What {@link Database.del} may be told. */
export interface DeleteOptions {
    /**
     * Judges the record that is about to go, and throws to keep it. Only a version that passed is
     * deleted; it may run more than once, each time with a newer record.
     */
    readonly check?: (image: StoredImage) => void | Promise<void>;
    readonly seen?: StoredImage;
}

/**
 * Keeps the records of images (backends 2).
 *
 * Promises of every backend, checked by the contract suite:
 * - a record is on stable storage before a promise resolves, and visible to every later call of this
 *   process; a rejected change leaves the old record in place, in memory and on disk;
 * - `update`, `move` and `del` calls of one uuid do not lose each other's changes, in one process or
 *   in several;
 * - `seen`, where a method takes it, is what this request read from the database: the first try may
 *   start from it instead of reading once more. It saves a call and changes no promise;
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
    update(uuid: string, change: Change, seen?: StoredImage): Promise<StoredImage>;

    /**
     * As `update`, for a change of the uuid: stores the new record under `newUuid` and removes the old
     * one as one step; 409 if the new uuid exists.
     */
    move(oldUuid: string, newUuid: string, change: MoveChange, seen?: StoredImage): Promise<StoredImage>;

    /** Removes a record. */
    del(uuid: string, options?: DeleteOptions): Promise<void>;

    /** Checks that the database can be read; rejects with the reason. */
    ping(): Promise<void>;

    /** Ends all background work; no call may follow. */
    close(): Promise<void>;
}
