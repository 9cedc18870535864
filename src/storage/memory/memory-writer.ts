import { internalError } from '../../base/errors.js';
import type { ClosedFile, StorageWriter } from '../storage.js';
import type { Faults } from './faults.js';

/** Where a {@link MemoryWriter} puts its bytes: an image's files by name. */
export interface MemoryTarget {
    put(name: string, bytes: Buffer): void;
    rename(from: string, to: string): void;
    /** Tells whether it was there. */
    delete(name: string): boolean;
}

/** Receives a file in memory; `abort` ends a call that hangs. */
export class MemoryWriter implements StorageWriter {
    readonly temporaryName: string;
    readonly #name: string;
    readonly #target: MemoryTarget;
    readonly #faults: Faults;
    readonly #onEnd: (writer: StorageWriter) => void;
    readonly #aborted: Promise<never>;
    #rejectAborted: (error: Error) => void = () => undefined;
    #chunks: Buffer[] = [];
    #state: 'open' | 'closed' | 'ended' = 'open';

    constructor(options: {
        readonly name: string;
        readonly temporaryName: string;
        readonly target: MemoryTarget;
        readonly faults: Faults;
        readonly onEnd: (writer: StorageWriter) => void;
    }) {
        this.#name = options.name;
        this.temporaryName = options.temporaryName;
        this.#target = options.target;
        this.#faults = options.faults;
        this.#onEnd = options.onEnd;
        this.#aborted = new Promise((_resolve, reject) => {
            this.#rejectAborted = reject;
        });
        this.#aborted.catch(() => undefined);
        this.#target.put(this.temporaryName, Buffer.alloc(0));
    }

    async write(chunk: Buffer): Promise<void> {
        await this.#step('write', 'open');
        this.#chunks.push(Buffer.from(chunk));
    }

    async close(): Promise<ClosedFile> {
        await this.#step('close', 'open');
        this.#target.put(this.temporaryName, Buffer.concat(this.#chunks));
        this.#chunks = [];
        this.#state = 'closed';
        return {};
    }

    async commit(): Promise<void> {
        await this.#step('commit', 'closed');
        this.#target.rename(this.temporaryName, this.#name);
        this.#end();
    }

    abort(): Promise<void> {
        if (this.#state !== 'ended') {
            this.#target.delete(this.temporaryName);
            this.#end();
            this.#rejectAborted(internalError('file was aborted'));
        }
        return Promise.resolve();
    }

    async #step(operation: 'write' | 'close' | 'commit', state: 'open' | 'closed'): Promise<void> {
        await Promise.race([this.#faults.pass(operation), this.#aborted]);
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
