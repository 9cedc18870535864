import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { FILE_MODE, removeIfPresent } from '../base/durable-files.js';
import { SyncedFile } from '../base/synced-file.js';
import { unlessMissing } from '../base/unless-missing.js';
import type { ReceivingWriter } from './receive.js';

/** Bytes of a read of what is there: large, it is only hashed. */
const READ_SIZE = 1_048_576;

/** Appends to a file what comes behind the bytes that are in it; those come first, once more, to be hashed. */
class PartWriter implements ReceivingWriter {
    readonly #file: SyncedFile;
    #known: number;

    /** @param known bytes that are in the file already */
    constructor(file: SyncedFile, known: number) {
        this.#file = file;
        this.#known = known;
    }

    async write(chunk: Buffer): Promise<void> {
        const known = Math.min(this.#known, chunk.length);
        this.#known -= known;
        if (known < chunk.length) {
            await this.#file.write(chunk.subarray(known));
        }
    }

    async close(): Promise<Record<string, never>> {
        await this.#file.finish();
        return {};
    }

    /** What has been written stays: a later try goes on behind it. */
    async abort(): Promise<void> {
        await this.#file.close().catch(() => undefined);
    }
}

/**
 * Bytes of a file that is being received, kept on disk until it is complete (jobs-and-imports 9.7). It is
 * never made shorter: a storage may have it under another name already.
 */
export class PartFile {
    readonly path: string;

    constructor(path: string) {
        this.path = path;
    }

    /** Bytes there are; none when there is no file. */
    async size(): Promise<number> {
        return (await unlessMissing(stat(this.path)))?.size ?? 0;
    }

    /** The first bytes there are. */
    read(bytes: number): Readable {
        return createReadStream(this.path, { end: bytes - 1, highWaterMark: READ_SIZE });
    }

    /** Goes on behind the bytes there are, which are to be written once more. @param known how many */
    async append(known: number): Promise<ReceivingWriter> {
        return new PartWriter(new SyncedFile(await open(this.path, 'r+'), known), known);
    }

    /** Begins a new file, in place of the one there is. */
    async begin(): Promise<ReceivingWriter> {
        await removeIfPresent(this.path);
        return new PartWriter(new SyncedFile(await open(this.path, 'wx', FILE_MODE)), 0);
    }

    /** A file that is not there is fine. */
    async remove(): Promise<void> {
        await removeIfPresent(this.path);
    }
}
