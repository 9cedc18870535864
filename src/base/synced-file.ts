import type { FileHandle } from 'node:fs/promises';

/**
 * Bytes after which the disk is set to work on what has been written. The last sync then has little
 * left to do, and the small syncs of others do not have to wait behind gigabytes.
 */
const SYNC_EVERY = 33_554_432;

/** Writes a file from front to back, syncing it on the way. Owns the handle. */
export class SyncedFile {
    readonly #handle: FileHandle;
    #position: number;
    #unsynced = 0;
    #syncing: Promise<void> | undefined;
    #syncFailure: Error | undefined;
    #closing: Promise<void> | undefined;

    /** @param position where the next chunk goes */
    constructor(handle: FileHandle, position = 0) {
        this.#handle = handle;
        this.#position = position;
    }

    /** Appends a chunk, which may be reused afterwards. @throws the file system's error */
    async write(chunk: Buffer): Promise<void> {
        for (let written = 0; written < chunk.length;) {
            const length = chunk.length - written;
            const { bytesWritten } = await this.#handle.write(chunk, written, length, this.#position);
            written += bytesWritten;
            this.#position += bytesWritten;
        }
        this.#syncAhead(chunk.length);
    }

    /** Puts all bytes on stable storage and closes the file. @throws the file system's error */
    async finish(): Promise<void> {
        await this.#syncing;
        if (this.#syncFailure !== undefined) {
            throw this.#syncFailure;
        }
        await this.#handle.sync();
        await this.close();
    }

    /** Closes the file as it is; waits for a write that is still under way. */
    async close(): Promise<void> {
        this.#closing ??= this.#handle.close();
        await this.#closing;
    }

    /**
     * Starts a sync in the background. The system reports that bytes could not be written to one sync
     * only, so a failure is kept for {@link finish}.
     */
    #syncAhead(bytes: number): void {
        this.#unsynced += bytes;
        if (this.#unsynced < SYNC_EVERY || this.#syncing !== undefined) {
            return;
        }
        this.#unsynced = 0;
        this.#syncing = this.#handle
            .datasync()
            .catch((error: unknown) => {
                this.#syncFailure = error as Error;
            })
            .finally(() => {
                this.#syncing = undefined;
            });
    }
}
