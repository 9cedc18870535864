import { internalError } from '../../base/errors.js';
import type { ObjectUpload } from '../../remotes/object-store.js';
import type { AnnouncedFile, ClosedFile, StorageWriter } from '../storage.js';
import type { TemporaryObject } from './temporary-object.js';

/** What a {@link MantaWriter} is made from. */
export interface MantaWriterOptions {
    readonly temporary: TemporaryObject;
    readonly finalName: string;
    readonly announced: AnnouncedFile;
    readonly upload: ObjectUpload;
    /** Makes the bytes of the temporary object visible under another path. */
    readonly publish: (finalPath: string) => Promise<void>;
    /** Called once, when the temporary object is gone or final. */
    readonly onEnd: (writer: StorageWriter) => void;
}

/** Receives a file into an object beside its final place (backends 8). */
export class MantaWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #options: MantaWriterOptions;
    #state: 'open' | 'closed' | 'ended' = 'open';
    #size = 0;
    /** All bytes have gone to Manta, which has not answered. */
    #isComplete = false;
    /** What went wrong first while the bytes came. */
    #failure: unknown;
    #committing: Promise<void> | undefined;
    #aborting: Promise<void> | undefined;

    constructor(options: MantaWriterOptions) {
        this.#options = options;
        this.temporaryName = options.temporary.name;
    }

    async write(chunk: Buffer): Promise<void> {
        this.#expect('open');
        this.#size += chunk.length;
        this.#requireSize(this.#size <= (this.#options.announced.size ?? this.#size));
        this.#isComplete = this.#size === this.#options.announced.size;
        await this.#noticed(this.#options.upload.write(chunk));
    }

    async close(): Promise<ClosedFile> {
        this.#expect('open');
        this.#requireSize(this.#size === (this.#options.announced.size ?? this.#size));
        this.#isComplete = true;
        const { md5 } = await this.#noticed(this.#options.upload.end());
        this.#isComplete = false;
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

    /** What fails after an abort fails because of it. */
    async #noticed<T>(work: Promise<T>): Promise<T> {
        try {
            return await work;
        } catch (error) {
            if (this.#aborting === undefined) {
                this.#failure ??= error;
            }
            throw error;
        }
    }

    async #publish(): Promise<void> {
        const { temporary, finalName, publish } = this.#options;
        await publish(temporary.sibling(finalName));
        this.#end();
        await temporary.published();
    }

    async #discard(): Promise<void> {
        await this.#committing?.catch(() => undefined);
        if (this.#state === 'ended') {
            return;
        }
        this.#end();
        await this.#options.upload.abort();
        // Also when it was Manta's silence that ended a commit: while the temporary object is there, the
        // final one may still come to be.
        await this.#options.temporary.discard(this.#failure, this.#isComplete);
    }

    #end(): void {
        this.#state = 'ended';
        this.#options.onEnd(this);
    }
}
