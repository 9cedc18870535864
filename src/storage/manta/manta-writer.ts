import type Logger from 'bunyan';
import { internalError } from '../../base/errors.js';
import type { ObjectStore, ObjectUpload } from '../../remotes/object-store.js';
import type { JournalEntry } from '../delete-journal.js';
import type { AnnouncedFile, ClosedFile, StorageWriter } from '../storage.js';
import type { ImageDirectories } from './image-directories.js';

/** What a {@link MantaWriter} is made from. */
export interface MantaWriterOptions {
    readonly objects: ObjectStore;
    readonly directories: ImageDirectories;
    readonly log: Logger;
    readonly uuid: string;
    readonly temporaryName: string;
    readonly finalName: string;
    readonly announced: AnnouncedFile;
    /** Finds the temporary object after a crash. */
    readonly entry: JournalEntry;
    readonly upload: ObjectUpload;
    /** Called once, when the temporary object is gone or final. */
    readonly onEnd: (writer: StorageWriter) => void;
}

/** Receives a file into the object `<name>.<fresh uuid>` beside its final place (backends 8). */
export class MantaWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #options: MantaWriterOptions;
    #state: 'open' | 'closed' | 'ended' = 'open';
    #size = 0;
    #committing: Promise<void> | undefined;
    #aborting: Promise<void> | undefined;

    constructor(options: MantaWriterOptions) {
        this.#options = options;
        this.temporaryName = options.temporaryName;
    }

    async write(chunk: Buffer): Promise<void> {
        this.#expect('open');
        this.#size += chunk.length;
        this.#requireSize(this.#size <= (this.#options.announced.size ?? this.#size));
        await this.#options.upload.write(chunk);
    }

    async close(): Promise<ClosedFile> {
        this.#expect('open');
        this.#requireSize(this.#size === (this.#options.announced.size ?? this.#size));
        const { md5 } = await this.#options.upload.end();
        // An abort may have come while Manta was making the bytes safe.
        if (this.#aborting === undefined) {
            this.#state = 'closed';
        }
        return md5 === undefined ? {} : { md5 };
    }

    async commit(): Promise<void> {
        this.#expect('closed');
        this.#committing ??= this.#publish();
        await this.#committing;
    }

    async abort(): Promise<void> {
        this.#aborting ??= this.#discard();
        await this.#aborting;
    }

    /** Manta would wait for bytes that never come, or take others for the next request. */
    #requireSize(isRight: boolean): void {
        if (!isRight) {
            throw internalError(`file has another size than announced, ${this.#options.announced.size}`);
        }
    }

    #expect(state: 'open' | 'closed'): void {
        if (this.#state !== state || this.#aborting !== undefined) {
            throw internalError(`file is not ${state}`);
        }
    }

    async #publish(): Promise<void> {
        const { objects, directories, uuid, finalName } = this.#options;
        const temporaryPath = directories.pathOf(uuid, this.temporaryName);
        await objects.copy(temporaryPath, directories.pathOf(uuid, finalName));
        this.#end();
        await this.#removeTemporary();
    }

    /** Never rejects: whoever aborts has an error already. What is left is found through the journal. */
    async #discard(): Promise<void> {
        await this.#committing?.catch(() => undefined);
        if (this.#state === 'ended') {
            return;
        }
        this.#end();
        await this.#options.upload.abort();
        await this.#removeTemporary();
    }

    async #removeTemporary(): Promise<void> {
        const { objects, directories, uuid, entry, log } = this.#options;
        const path = directories.pathOf(uuid, this.temporaryName);
        try {
            await objects.remove(path);
            await directories.afterRemoval(uuid);
        } catch (err) {
            log.warn({ err, path }, 'temporary object could not be removed, it will be tried again');
            entry.leave();
            return;
        }
        await entry.drop();
    }

    #end(): void {
        this.#state = 'ended';
        this.#options.onEnd(this);
    }
}
