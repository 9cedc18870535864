import type { Readable } from 'node:stream';

/** What an object store knows of an object. */
export interface ObjectFacts {
    /** Bytes. */
    readonly size: number;
    /** Base64, as in `Content-MD5`; absent: the store does not say. */
    readonly md5?: string;
    readonly etag?: string;
}

/** What is found at a path. */
export interface FoundObject extends ObjectFacts {
    readonly isDirectory: boolean;
}

/** A line of a listing. */
export interface ListedObject {
    readonly name: string;
    readonly isDirectory: boolean;
    /** Bytes; 0 for a directory. */
    readonly size: number;
    /** Milliseconds since the epoch. */
    readonly mtime: number;
    /** Absent: a directory, or the store does not say. */
    readonly etag?: string;
}

/** How to store an object. */
export interface PutOptions {
    readonly contentType: string;
    /** Bytes; absent: not known before the last one. */
    readonly size?: number;
    /** Base64; the store refuses other bytes. */
    readonly md5?: string;
    /** Replace only what has this etag. */
    readonly ifMatch?: string;
    /** Store only where there is nothing. */
    readonly ifNew?: boolean;
    /** Ends the call. */
    readonly signal?: AbortSignal;
}

/** How to remove an object. */
export interface RemoveOptions {
    /** Remove only what has this etag. */
    readonly ifMatch?: string;
}

/** How to copy an object. */
export interface CopyOptions {
    /** False: never by a link, e.g. into the area of another account, where none can be made. */
    readonly link?: boolean;
    /** Ends the call. */
    readonly signal?: AbortSignal;
}

/** What to read; byte offsets, `end` inclusive. Absent: the whole object. */
export interface ObjectRange {
    readonly start?: number;
    readonly end?: number;
    readonly signal?: AbortSignal;
}

/** An object opened for reading. Destroying the stream frees everything. */
export interface OpenedObject extends ObjectFacts {
    /** The bytes asked for; fails when they do not all come, or, of a whole object, have another MD5. */
    readonly stream: Readable;
    /** How many bytes have come so far. */
    readonly bytesRead: () => number;
}

/** An object being stored; visible only after `end`. */
export interface ObjectUpload {
    /** Takes a chunk; resolves when it may be reused and the next one may come. */
    write(chunk: Buffer): Promise<void>;
    /** Resolves when the store has all bytes safe, to what it says it has stored. */
    end(): Promise<Partial<ObjectFacts>>;
    /** Gives up. Never rejects; if `end` was called, the object may be there nevertheless. */
    abort(): Promise<void>;
}

/** The store refused what was asked: no outage, trying again does not help. */
export class ObjectStoreError extends Error {
    /** The store's word for it, e.g. `DirectoryDoesNotExist`. */
    readonly code: string;
    /** HTTP status of its answer. */
    readonly status: number;

    constructor(code: string, status: number, message: string, cause?: unknown) {
        super(`${code}: ${message}`, { cause });
        this.name = 'ObjectStoreError';
        this.code = code;
        this.status = status;
    }
}

/** Words by which Manta says that there is nothing; with any other it may not be Manta who speaks. */
const MISSING = /^(?:ResourceNotFound|SourceObjectNotFound|DirectoryDoesNotExist)(?:Error)?$/;

/** Tells whether an error is the store's word that there is nothing at a path. */
export function saysMissing(error: unknown): boolean {
    return error instanceof ObjectStoreError && error.status === 404 && MISSING.test(error.code);
}

/** Tells whether an error says that the directory for a new object or directory is not there. */
export function isDirectoryMissing(error: unknown): boolean {
    return error instanceof ObjectStoreError && /^DirectoryDoesNotExist(?:Error)?$/.test(error.code);
}

/**
 * A store of objects in directories with absolute paths: Manta (backends 8).
 *
 * Every call ends in bounded time. All reject with 503 `StorageIsDown` when the store is out of reach,
 * silent or says that it is unavailable, and else with {@link ObjectStoreError}.
 */
export interface ObjectStore {
    /** Where it is, for answers. */
    readonly url: string;
    /** The account whose key signs. */
    readonly user: string;
    /** Rejects when the store cannot be used. */
    check(): Promise<void>;
    /** Makes a directory and those above it; fine if it is there. */
    makeDirectory(path: string): Promise<void>;
    /** Removes a directory; tells `false` when it is not empty. One that is not there counts as removed. */
    removeDirectory(path: string): Promise<boolean>;
    /**
     * Stores a small object as one step, replacing the old one. Its directory must exist.
     *
     * @returns what the store says it has stored
     */
    put(path: string, bytes: Buffer, options: PutOptions): Promise<Partial<ObjectFacts>>;
    /** Starts to store an object; resolves when the store wants its bytes. Its directory must exist. */
    upload(path: string, options: PutOptions): Promise<ObjectUpload>;
    /** `undefined`: there is no such object. */
    open(path: string, range?: ObjectRange): Promise<OpenedObject | undefined>;
    /** Reads a small object. `undefined`: there is none. @throws Error when it has more than `maxSize` bytes */
    read(
        path: string,
        maxSize: number,
    ): Promise<{ readonly bytes: Buffer; readonly etag?: string } | undefined>;
    stat(path: string): Promise<FoundObject | undefined>;
    /**
     * Removes an object; tells whether it was there.
     *
     * @throws ObjectStoreError with status 412 when it has not the etag that is asked for
     */
    remove(path: string, options?: RemoveOptions): Promise<boolean>;
    /**
     * Makes the bytes of an object visible under a second name, replacing what is there as one step: by a
     * link where the store allows it, else by reading and storing them, checked by size and MD5.
     *
     * @throws ObjectStoreError that {@link saysMissing} when there is no such object
     */
    copy(from: string, to: string, options?: CopyOptions): Promise<void>;
    /** What is in a directory, by name; nothing if it is not there. */
    list(path: string): AsyncIterable<ListedObject>;
    /** Ends all calls but those that move files, which go on; none of them follow. */
    endCalls(): void;
    /** Ends every connection; no call follows. */
    close(): void;
}
