import { open, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type Logger from 'bunyan';
import { FILE_MODE, removeIfPresent } from '../../base/durable-files.js';
import { internalError } from '../../base/errors.js';
import { SyncedFile } from '../../base/synced-file.js';
import { temporaryNameOf } from '../file-names.js';
import type { ClosedFile, ClosedWriter, StoredFileName, StorageWriter } from '../storage.js';
import type { ImageDirectories } from './image-directories.js';
import { keepOrRemove } from './keep-or-remove.js';
import { translated } from './storage-failure.js';

interface LocalWriterOptions {
    readonly file: SyncedFile;
    readonly temporaryPath: string;
    readonly finalPath: string;
    readonly directories: ImageDirectories;
    readonly log: Logger;
    /** Called once, when the temporary file is gone or final. */
    readonly onEnd: (writer: ClosedWriter) => void;
}

/** Receives a file into `<name>.<fresh uuid>` beside its final place (backends 7, W6, W7, W10). */
class LocalWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #options: LocalWriterOptions;
    #state: 'open' | 'closed' | 'ended' = 'open';
    #committing: Promise<void> | undefined;
    #aborting: Promise<void> | undefined;

    constructor(options: LocalWriterOptions) {
        this.#options = options;
        this.temporaryName = basename(options.temporaryPath);
    }

    async write(chunk: Buffer): Promise<void> {
        this.#expect('open');
        await translated(() => this.#options.file.write(chunk));
    }

    async close(): Promise<ClosedFile> {
        this.#expect('open');
        await translated(() => this.#options.file.finish());
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

    #expect(state: 'open' | 'closed'): void {
        if (this.#state !== state || this.#aborting !== undefined) {
            throw internalError(`file is not ${state}`);
        }
    }

    async #publish(): Promise<void> {
        const { temporaryPath, finalPath } = this.#options;
        await rename(temporaryPath, finalPath);
        this.#end();
        await keepOrRemove(finalPath);
    }

    /** Never rejects: whoever aborts has an error already. What is left is found by the sweep. */
    async #discard(): Promise<void> {
        await this.#committing?.catch(() => undefined);
        if (this.#state === 'ended') {
            return;
        }
        const { temporaryPath, directories, log } = this.#options;
        try {
            await this.#options.file.close().catch(() => undefined);
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
        return new LocalWriter({
            ...options,
            file: new SyncedFile(handle),
            temporaryPath,
            finalPath: join(directory, name),
        });
    });
}
