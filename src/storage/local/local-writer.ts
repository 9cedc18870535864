import { open, rename, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type Logger from 'bunyan';
import { unlessMissing } from '../../base/unless-missing.js';
import { FILE_MODE, removeIfPresent, syncDirectory } from '../../base/durable-files.js';
import { internalError } from '../../base/errors.js';
import { temporaryNameOf } from '../file-names.js';
import type { ClosedFile, StoredFileName, StorageWriter } from '../storage.js';
import type { ImageDirectories } from './image-directories.js';
import { translated } from './storage-failure.js';

/**
 * Bytes after which the disk is set to work on what has been written. The last sync then has little
 * left to do, and the small syncs of others do not have to wait behind gigabytes.
 */
const SYNC_EVERY = 33_554_432;

interface LocalWriterOptions {
    readonly handle: FileHandle;
    readonly temporaryPath: string;
    readonly finalPath: string;
    readonly directories: ImageDirectories;
    readonly log: Logger;
    /** Called once, when the temporary file is gone or final. */
    readonly onEnd: (writer: StorageWriter) => void;
}

/** Receives a file into `<name>.<fresh uuid>` beside its final place (backends 7, W6, W7, W10). */
class LocalWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #options: LocalWriterOptions;
    #state: 'open' | 'closed' | 'ended' = 'open';
    #unsynced = 0;
    #syncing: Promise<void> | undefined;
    #syncFailure: Error | undefined;
    #closing: Promise<void> | undefined;
    #committing: Promise<void> | undefined;
    #aborting: Promise<void> | undefined;

    constructor(options: LocalWriterOptions) {
        this.#options = options;
        this.temporaryName = basename(options.temporaryPath);
    }

    async write(chunk: Buffer): Promise<void> {
        this.#expect('open');
        await translated(async () => {
            for (let written = 0; written < chunk.length;) {
                const { bytesWritten } = await this.#options.handle.write(chunk, written);
                written += bytesWritten;
            }
        });
        this.#syncAhead(chunk.length);
    }

    async close(): Promise<ClosedFile> {
        this.#expect('open');
        await translated(async () => {
            await this.#syncing;
            if (this.#syncFailure !== undefined) {
                throw this.#syncFailure;
            }
            await this.#options.handle.sync();
            await this.#closeHandle();
        });
        // An abort may have come while the bytes were being synced.
        if (this.#aborting === undefined) {
            this.#state = 'closed';
        }
        return {};
    }

    async commit(): Promise<void> {
        this.#expect('closed');
        this.#committing ??= translated(() => this.#publish());
        await this.#committing;
    }

    async abort(): Promise<void> {
        this.#aborting ??= this.#discard();
        await this.#aborting;
    }

    /**
     * Starts a sync in the background. The system reports that bytes could not be written to one sync
     * only, so a failure is kept for {@link close}.
     */
    #syncAhead(bytes: number): void {
        this.#unsynced += bytes;
        if (this.#unsynced < SYNC_EVERY || this.#syncing !== undefined) {
            return;
        }
        this.#unsynced = 0;
        this.#syncing = this.#options.handle
            .datasync()
            .catch((error: unknown) => {
                this.#syncFailure = error as Error;
            })
            .finally(() => {
                this.#syncing = undefined;
            });
    }

    #expect(state: 'open' | 'closed'): void {
        if (this.#state !== state || this.#aborting !== undefined) {
            throw internalError(`file is not ${state}`);
        }
    }

    async #publish(): Promise<void> {
        const { temporaryPath, finalPath } = this.#options;
        await rename(temporaryPath, finalPath);
        this.#end();
        // A directory that is gone was emptied by whoever removed the file meanwhile: nothing is left to sync.
        try {
            await unlessMissing(syncDirectory(dirname(finalPath)));
        } catch (error) {
            // What is visible must outlive a loss of power, and this might not.
            await removeIfPresent(finalPath).catch(() => undefined);
            throw error;
        }
    }

    /** Never rejects: whoever aborts has an error already. What is left is found by the sweep. */
    async #discard(): Promise<void> {
        await this.#committing?.catch(() => undefined);
        if (this.#state === 'ended') {
            return;
        }
        const { temporaryPath, directories, log } = this.#options;
        try {
            await this.#closeHandle().catch(() => undefined);
            await removeIfPresent(temporaryPath);
            await directories.afterRemoval(dirname(temporaryPath));
        } catch (err) {
            log.warn({ err, path: temporaryPath }, 'temporary file could not be removed');
        } finally {
            this.#end();
        }
    }

    #end(): void {
        this.#state = 'ended';
        this.#options.onEnd(this);
    }

    /** The handle waits for a write that is still under way. */
    async #closeHandle(): Promise<void> {
        this.#closing ??= this.#options.handle.close();
        await this.#closing;
    }
}

/** Opens a fresh temporary file in the image's directory, which is made if need be. */
export async function createLocalWriter(
    uuid: string,
    name: StoredFileName,
    options: Pick<LocalWriterOptions, 'directories' | 'log' | 'onEnd'>,
): Promise<LocalWriter> {
    return await options.directories.use(uuid, async (directory) => {
        const temporaryPath = join(directory, temporaryNameOf(name));
        const handle = await open(temporaryPath, 'wx', FILE_MODE);
        return new LocalWriter({ ...options, handle, temporaryPath, finalPath: join(directory, name) });
    });
}
