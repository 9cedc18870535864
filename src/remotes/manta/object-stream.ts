import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { startDigest, type OneDigest } from '../../base/digests/one-digest.js';
import { internalError } from '../../base/errors.js';
import { TookTooLong } from '../../base/within.js';
import { mantaFailure } from './manta-failure.js';

/** Bytes that are held for a reader. */
const HIGH_WATER_MARK = 262_144;

/** What an {@link ObjectStream} is made from. */
export interface ObjectStreamOptions {
    readonly response: IncomingMessage;
    /** Bytes that are to come. */
    readonly length: number;
    /** MD5 of these bytes, base64; absent: it is not known. */
    readonly md5: string | undefined;
    /** Longest time without a byte while somebody wants one, milliseconds. */
    readonly stallMs: number;
    readonly signal: AbortSignal | undefined;
    /** Ends the request, and with it the connection. */
    readonly end: () => void;
}

/**
 * The bytes of an object as they come. It fails when the connection breaks, when no byte comes for too
 * long, when there are more or fewer than announced, and when their MD5 is another.
 */
export class ObjectStream extends Readable {
    readonly #options: ObjectStreamOptions;
    readonly #check: OneDigest | undefined;
    readonly #stalled: NodeJS.Timeout;
    readonly #onAbort: () => void;
    /** The chunk being hashed, which must go out before the next one is taken. */
    #pending: Promise<void> | undefined;
    #bytes = 0;

    constructor(options: ObjectStreamOptions) {
        super({ highWaterMark: HIGH_WATER_MARK });
        this.#options = options;
        const { response, md5, length, stallMs, signal } = options;
        this.#check = md5 === undefined ? undefined : startDigest('md5', length);
        this.#stalled = setTimeout(() => {
            // Bytes that nobody takes are waited for by nobody.
            if (!response.isPaused()) {
                this.destroy(mantaFailure(new TookTooLong(stallMs)));
            }
        }, stallMs);
        this.#onAbort = () => void this.destroy(signal?.reason as Error);
        signal?.addEventListener('abort', this.#onAbort);
        response.pause();
        response.on('data', (chunk: Buffer) => this.#take(chunk));
        response.once('end', () => void this.#finish());
        response.once('close', () => {
            if (!response.complete) {
                this.#fail(new Error('connection closed before the end of the object'));
            }
        });
        response.on('error', (error) => this.#fail(error));
        // It may fail before anybody reads.
        this.on('error', () => undefined);
    }

    /** Bytes that have come so far. */
    get bytesRead(): number {
        return this.#bytes;
    }

    override _read(): void {
        if (this.#pending === undefined) {
            this.#resume();
        }
    }

    override _destroy(error: Error | null, done: (error: Error | null) => void): void {
        const { response, signal, end } = this.#options;
        clearTimeout(this.#stalled);
        signal?.removeEventListener('abort', this.#onAbort);
        this.#check?.cancel();
        // Also when all has come but not been read: until then the answer keeps its connection.
        if (!response.readableEnded) {
            end();
        }
        done(error);
    }

    #resume(): void {
        this.#stalled.refresh();
        this.#options.response.resume();
    }

    #take(chunk: Buffer): void {
        this.#stalled.refresh();
        this.#bytes += chunk.length;
        const hashing = this.#check?.push(chunk);
        if (hashing === undefined) {
            this.#give(chunk);
            return;
        }
        this.#options.response.pause();
        this.#pending = hashing.then(
            () => {
                this.#pending = undefined;
                if (this.#give(chunk)) {
                    this.#resume();
                }
            },
            (error: unknown) => this.#fail(error),
        );
    }

    /** Tells whether more is wanted. */
    #give(chunk: Buffer): boolean {
        const isWanted = !this.destroyed && this.push(chunk);
        if (!isWanted) {
            this.#options.response.pause();
        }
        return isWanted;
    }

    async #finish(): Promise<void> {
        const { length, md5 } = this.#options;
        clearTimeout(this.#stalled);
        try {
            await this.#pending;
            if (this.#bytes !== length) {
                throw new Error(`${this.#bytes} bytes came, expected ${length}`);
            }
            const found = await this.#check?.end();
            if (found !== md5) {
                throw internalError(`Content-MD5 is "${found}", expected "${md5}"`);
            }
            if (!this.destroyed) {
                this.push(null);
            }
        } catch (error) {
            this.#fail(error);
        }
    }

    #fail(error: unknown): void {
        if (!this.destroyed) {
            this.destroy(mantaFailure(error));
        }
    }
}
