import { internalError } from '#lib/base/errors.js';
import type { ClosedFile, StorageWriter } from '#lib/storage/storage.js';

/** Where a {@link MemoryWriter} puts its bytes: an image's files by name. */
export interface MemoryTarget {
    put(name: string, bytes: Buffer): void;
    rename(from: string, to: string): void;
    /** Tells whether it was there. */
    delete(name: string): boolean;
}

/** Receives a file in memory. */
export class MemoryWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #name: string;
    readonly #target: MemoryTarget;
    readonly #onEnd: (writer: StorageWriter) => void;
    #chunks: Buffer[] = [];
    #state: 'open' | 'closed' | 'ended' = 'open';

    constructor(options: {
        readonly name: string;
        readonly temporaryName: string;
        readonly target: MemoryTarget;
        readonly onEnd: (writer: StorageWriter) => void;
    }) {
        this.#name = options.name;
        this.temporaryName = options.temporaryName;
        this.#target = options.target;
        this.#onEnd = options.onEnd;
        this.#target.put(this.temporaryName, Buffer.alloc(0));
    }

    async write(chunk: Buffer): Promise<void> {
        this.#expect('open');
        this.#chunks.push(Buffer.from(chunk));
    }

    async close(): Promise<ClosedFile> {
        this.#expect('open');
        this.#target.put(this.temporaryName, Buffer.concat(this.#chunks));
        this.#chunks = [];
        this.#state = 'closed';
        return {};
    }

    async commit(): Promise<void> {
        this.#expect('closed');
        this.#target.rename(this.temporaryName, this.#name);
        this.#end();
    }

    abort(): Promise<void> {
        if (this.#state !== 'ended') {
            this.#target.delete(this.temporaryName);
            this.#end();
        }
        return Promise.resolve();
    }

    #expect(state: 'open' | 'closed'): void {
        if (this.#state !== state) {
            throw internalError(`file is not ${state}`);
        }
    }

    #end(): void {
        this.#state = 'ended';
        this.#chunks = [];
        this.#onEnd(this);
    }
}
