import { addAbortSignal, Readable } from 'node:stream';
import { ResumableBytes, type ResumableBytesOptions } from './resumable-bytes.js';

/** What a {@link ResumableBody} needs. */
export interface ResumableBodyOptions extends ResumableBytesOptions {
    /** Ends the body. */
    readonly signal: AbortSignal;
}

/** {@link ResumableBytes} as a stream. Its owner destroys it, which ends the request under way. */
export class ResumableBody extends Readable {
    readonly #bytes: ResumableBytes;

    constructor(options: ResumableBodyOptions) {
        super();
        this.#bytes = new ResumableBytes(options);
        addAbortSignal(options.signal, this);
    }

    /** Bytes of the whole body that are there, those from before included. */
    get offset(): number {
        return this.#bytes.offset;
    }

    override _read(): void {
        this.#bytes.next().then(
            (chunk) => this.push(chunk ?? null),
            (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
        );
    }

    override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
        this.#bytes.stop(error ?? new Error('the body is not wanted any more'));
        callback(error);
    }
}
