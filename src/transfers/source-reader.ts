import type { Readable } from 'node:stream';

/** The source gave no byte for too long. */
export class IdleError extends Error {
    constructor(idleTimeoutMs: number) {
        super(`no data received for ${Math.round(idleTimeoutMs / 1000)} s`);
        this.name = 'IdleError';
    }
}

/** The source ended before its last byte, e.g. because the client has gone. */
class BrokenOffError extends Error {
    constructor(cause?: unknown) {
        super('connection closed before the end of the data', { cause });
        this.name = 'BrokenOffError';
    }
}

/**
 * Pulls chunks from a stream. It listens only while it is in use and never destroys the stream: on a
 * request an answer may still have to be sent. Time spent between two reads does not count as idle.
 */
export class SourceReader {
    readonly #source: Readable;
    readonly #idleTimeoutMs: number;
    readonly #signal: AbortSignal;
    #failure: Error | undefined;
    #wake: (() => void) | undefined;

    /** @param signal ends a wait; its reason is thrown */
    constructor(source: Readable, idleTimeoutMs: number, signal: AbortSignal) {
        this.#source = source;
        this.#idleTimeoutMs = idleTimeoutMs;
        this.#signal = signal;
        source.on('readable', this.#onEvent);
        source.on('end', this.#onEvent);
        source.on('close', this.#onEvent);
        source.on('error', this.#onError);
        signal.addEventListener('abort', this.#onEvent);
    }

    /**
     * The next bytes, or `undefined` at the end.
     *
     * @throws {@link IdleError}, {@link BrokenOffError}, the stream's error, or the signal's reason
     */
    async next(): Promise<Buffer | undefined> {
        for (;;) {
            this.#signal.throwIfAborted();
            const chunk = this.#source.read() as Buffer | string | null;
            if (chunk !== null) {
                return typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
            }
            // The stream knows of its failure before it tells.
            const failure = this.#failure ?? this.#source.errored;
            if (failure !== undefined && failure !== null) {
                throw failure;
            }
            if (this.#source.readableEnded) {
                return undefined;
            }
            if (this.#source.destroyed) {
                throw new BrokenOffError();
            }
            await this.#event();
        }
    }

    /** Stops listening; the stream stays as it is. */
    close(): void {
        this.#source.off('readable', this.#onEvent);
        this.#source.off('end', this.#onEvent);
        this.#source.off('close', this.#onEvent);
        this.#source.off('error', this.#onError);
        this.#signal.removeEventListener('abort', this.#onEvent);
        // An error that comes later is nobody's business, and must not end the process.
        this.#source.on('error', ignore);
    }

    async #event(): Promise<void> {
        let timer: NodeJS.Timeout | undefined;
        await new Promise<void>((resolve, reject) => {
            this.#wake = resolve;
            timer = setTimeout(() => {
                reject(new IdleError(this.#idleTimeoutMs));
            }, this.#idleTimeoutMs);
        }).finally(() => {
            clearTimeout(timer);
            this.#wake = undefined;
        });
    }

    readonly #onEvent = (): void => {
        this.#wake?.();
    };

    readonly #onError = (error: Error): void => {
        this.#failure = error;
        this.#wake?.();
    };
}

function ignore(): void {
    // Nothing to do.
}
