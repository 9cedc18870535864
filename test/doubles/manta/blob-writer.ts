import { createHash } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';

/** Bytes that are gathered before they are written. */
const BATCH = 1 << 20;
const ZEROS = Buffer.alloc(BATCH);

function isZero(chunk: Buffer): boolean {
    return chunk[0] === 0 && chunk.equals(ZEROS.subarray(0, chunk.length));
}

/** Writes the bytes of an upload into a file, leaves holes where they are zero, and computes their MD5. */
export class BlobWriter {
    readonly #path: string;
    readonly #file: FileHandle;
    readonly #hash = createHash('md5');
    #batch: Buffer[] = [];
    #batched = 0;
    /** Where the batch goes. */
    #position = 0;
    #size = 0;

    private constructor(path: string, file: FileHandle) {
        this.#path = path;
        this.#file = file;
    }

    static async create(path: string): Promise<BlobWriter> {
        return new BlobWriter(path, await open(path, 'wx'));
    }

    /** Bytes taken so far. */
    get size(): number {
        return this.#size;
    }

    /** Takes bytes; a promise if the next ones must wait for it. */
    write(chunk: Buffer): Promise<void> | undefined {
        this.#hash.update(chunk);
        this.#size += chunk.length;
        if (chunk.length <= BATCH && isZero(chunk)) {
            const flushed = this.#batched === 0 ? undefined : this.#flush();
            this.#position = this.#size;
            return flushed;
        }
        this.#batch.push(chunk);
        this.#batched += chunk.length;
        return this.#batched < BATCH ? undefined : this.#flush();
    }

    /** Ends the file; resolves to the MD5 as base64. */
    async finish(): Promise<string> {
        try {
            if (this.#batched > 0) await this.#flush();
            await this.#file.truncate(this.#size);
        } finally {
            await this.#file.close();
        }
        return this.#hash.digest('base64');
    }

    /** Gives the file up. */
    async abort(): Promise<void> {
        await this.#file.close();
        await rm(this.#path, { force: true });
    }

    async #flush(): Promise<void> {
        const [batch, length, position] = [this.#batch, this.#batched, this.#position];
        this.#batch = [];
        this.#batched = 0;
        this.#position += length;
        const { bytesWritten } = await this.#file.writev(batch, position);
        if (bytesWritten !== length) throw new Error(`only ${bytesWritten} of ${length} bytes were written`);
    }
}
