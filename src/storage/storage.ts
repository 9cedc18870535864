import type { Readable } from 'node:stream';
import type { StorageType } from '../base/constants.js';

/** Name of a file of an image: `file0`, `file1` or `icon` (backends 6). */
export type StoredFileName = `file${number}` | 'icon';

/** Which file of a file system it is, and of when. */
export interface FileIdentity {
    readonly ino: number;
    /** Milliseconds since the epoch. */
    readonly mtimeMs: number;
}

/** What a storage knows of a file. */
export interface StoredFileFacts {
    /** Bytes. */
    readonly size: number;
    /** Base64, as in `Content-MD5`; absent where the storage would have to read the file to tell. */
    readonly md5?: string;
    /** Path on this machine's file system, where there is one. */
    readonly path?: string;
    /** Where there is a path. */
    readonly identity?: FileIdentity;
}

/** What a writer may know of a file before its first byte. */
export interface AnnouncedFile {
    /** Bytes; a storage may refuse a file that turns out to have another size. */
    readonly size?: number;
}

/** What a storage says of a file it has just put on stable storage. */
export interface ClosedFile {
    /** MD5 of what it has got, base64; absent where it does not compute one. */
    readonly md5?: string;
}

/** A file opened for reading. Destroying the stream frees everything. */
export interface OpenedFile extends StoredFileFacts {
    /** The bytes asked for. */
    readonly stream: Readable;
    /** How many bytes the stream has taken from the storage so far. */
    readonly bytesRead: () => number;
}

/** What to read; byte offsets, `end` inclusive. Absent: the whole file. */
export interface ReadOptions {
    readonly start?: number;
    readonly end?: number;
    readonly signal?: AbortSignal;
}

/**
 * A file all of whose bytes are on stable storage, to be made visible: by `commit`, or not, by `abort`,
 * which may be called at any time, any number of times, and after `commit` does nothing.
 */
export interface ClosedWriter {
    /** Name of the temporary file, for `/state`, the log, and who cleans up after a crash. */
    readonly temporaryName: string;
    /** Makes the file visible under its final name, replacing the old one, durably. */
    commit(): Promise<void>;
    /** Drops the bytes and leaves nothing behind, an empty image directory neither. */
    abort(): Promise<void>;
}

/** A file being received under a temporary name. Its three ends: `close` then `commit`, or `abort`. */
export interface StorageWriter extends ClosedWriter {
    /** Takes a chunk; resolves when it may be reused and the next one may come. */
    write(chunk: Buffer): Promise<void>;
    /** Puts all bytes on stable storage, still under the temporary name. */
    close(): Promise<ClosedFile>;
}

/** A file on this machine, complete and on stable storage. */
export interface FinishedFile {
    readonly path: string;
    /** Bytes. */
    readonly size: number;
}

/** What is found in a storage that is no image file, or a file itself; for checks (operations 2.4). */
export interface ListedFile {
    readonly uuid: string;
    /** `file0`, `icon`, or a temporary name such as `file0.<uuid>`. */
    readonly name: string;
    readonly size: number;
    /** Milliseconds since the epoch. */
    readonly mtime: number;
}

/**
 * Keeps the files of images (backends 6-8).
 *
 * Promises of every backend, checked by the contract suite:
 * - nothing is visible under a final name before `commit`, and what is visible is complete and on
 *   stable storage;
 * - an error of the storage is 503 `StorageIsDown` when it is unreachable, full or read-only, and
 *   else the backend's own error (callers prefix it);
 * - a file that is not there: `open` and `stat` resolve to `undefined`, `remove` resolves.
 */
export interface Storage {
    readonly type: StorageType;
    /** Makes the storage ready. */
    setup(): Promise<void>;
    /** Starts to receive a file. */
    createWriter(uuid: string, name: StoredFileName, announced?: AnnouncedFile): Promise<StorageWriter>;
    /**
     * Takes a file of this machine without reading it, if it can. The file may be used for nothing else from
     * then on but to be removed, before or after the commit; it must be there for that.
     *
     * @returns `undefined`: it cannot, the bytes are to be written
     */
    adopt(uuid: string, name: StoredFileName, file: FinishedFile): Promise<ClosedWriter | undefined>;
    open(uuid: string, name: StoredFileName, options?: ReadOptions): Promise<OpenedFile | undefined>;
    stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined>;
    /** Removes a file and, if it was the last, the image's directory. */
    remove(uuid: string, name: StoredFileName): Promise<void>;
    /** Makes the same bytes visible under another image, by link where possible; replaces (backends W9). */
    copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void>;
    /** Every file and temporary file, in no order. */
    list(): AsyncIterable<ListedFile>;
    /** Removes a temporary file that {@link list} or a writer named; tells whether it was there. */
    removeTemporary(uuid: string, name: string): Promise<boolean>;
    /** Temporary names of uploads this process is receiving. */
    uploadsInProgress(): readonly string[];
    /** Free space where the backend knows it; rejects when the storage cannot be used. */
    check(): Promise<{
        readonly freeBytes?: number;
        readonly totalBytes?: number;
        readonly freeInodes?: number;
        readonly totalInodes?: number;
    }>;
}
