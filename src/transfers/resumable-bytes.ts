import { setTimeout as delay } from 'node:timers/promises';
import { OutgoingError } from '../base/http-errors.js';
import { discard } from '../base/http-redirects.js';
import type { OpenedSourceFile, ResumePoint } from '../remotes/image-source.js';
import type { ByteSource } from './byte-source.js';
import type { Retries } from './retries.js';
import { SourceReader } from './source-reader.js';

/** A body as it was opened: whole, or from where it was asked for. */
export type OpenedBody = Pick<OpenedSourceFile, 'start' | 'size' | 'etag' | 'body' | 'failure'>;

/** A body broke off and is going to be opened again. */
export interface BodyBreak {
    /** Bytes there are. */
    readonly offset: number;
    /** The wait before it is opened again, milliseconds. */
    readonly pauseMs: number;
    readonly error: unknown;
}

/** What {@link ResumableBytes} need. */
export interface ResumableBytesOptions {
    /** Opens the body: whole, or from a point on. A source that cannot go on there may give all of it. */
    readonly open: (resume: ResumePoint | undefined, signal: AbortSignal) => Promise<OpenedBody>;
    /** Has been opened already, where the body begins. */
    readonly first?: OpenedBody;
    /** Where to begin, because what is before it is there already; default: with the first byte. */
    readonly from?: ResumePoint;
    /** Bytes of the whole body, where they are known beforehand. */
    readonly size?: number;
    /** Counts the tries; whoever starts over with a new body hands on the same. */
    readonly retries: Retries;
    /** Longest time without a byte while they are wanted, milliseconds; default 60 s. */
    readonly stallMs?: number;
    /** Told of each body that is read from now on, before its first byte. */
    readonly onOpen?: (opened: OpenedBody) => void;
    /** Told before each wait. */
    readonly onBreak?: (found: BodyBreak) => void;
}

const STALL_MS = 60_000;

/**
 * The source does not go on where its body broke off: it is another one by now, or cannot give parts. Only
 * starting over from zero helps. The cause is the break that made it necessary, if there was one.
 */
export class SourceChangedError extends Error {
    constructor(message: string, cause?: unknown) {
        super(message, { cause });
        this.name = 'SourceChangedError';
    }
}

/** Whether a source says that it has not a byte more than are there already. */
function isComplete(error: unknown, offset: number): boolean {
    if (!(error instanceof OutgoingError) || error.status !== 416) {
        return false;
    }
    return error.headers['content-range'] === `bytes */${offset}`;
}

/**
 * The bytes of a body of another server that goes on where it broke off: after a transient failure it waits,
 * asks for the rest by the entity tag, and whoever reads notices nothing but the time (jobs-and-imports 9.7).
 *
 * They end with {@link SourceChangedError} when the rest is not to be had, with an `OutgoingError` when there
 * is no more trying.
 */
export class ResumableBytes implements ByteSource {
    readonly #options: ResumableBytesOptions;
    readonly #stop = new AbortController();
    #part: { readonly opened: OpenedBody; readonly reader: SourceReader } | undefined;
    #offset: number;
    #etag: string | undefined;
    #size: number | undefined;
    /** Why the last part ended early. */
    #lastBreak: unknown;

    constructor(options: ResumableBytesOptions) {
        this.#options = options;
        this.#offset = options.from?.offset ?? 0;
        this.#etag = options.from?.etag;
        this.#size = options.size;
        options.retries.startAt(this.#offset);
        if (options.first !== undefined) {
            this.#take(options.first);
        }
    }

    /** Bytes of the whole body that are there, those from before included. */
    get offset(): number {
        return this.#offset;
    }

    stop(reason: unknown): void {
        this.#stop.abort(reason);
        this.#drop();
    }

    async next(): Promise<Buffer | undefined> {
        for (;;) {
            try {
                return await this.#read();
            } catch (error) {
                this.#drop();
                await this.#pause(error);
            }
        }
    }

    async #read(): Promise<Buffer | undefined> {
        const part = this.#part ?? (await this.#open());
        if (part === undefined) {
            return undefined;
        }
        const { opened, reader } = part;
        const chunk = await reader.next().catch((error: unknown) => {
            this.#stop.signal.throwIfAborted();
            throw opened.failure(error);
        });
        if (chunk !== undefined) {
            this.#offset += chunk.length;
            this.#options.retries.reached(this.#offset);
            return chunk;
        }
        if (this.#size !== undefined && this.#offset < this.#size) {
            throw new OutgoingError('connect', `the body ended after ${this.#offset} of ${this.#size} bytes`);
        }
        return undefined;
    }

    /** Opens what is still to come; `undefined`: there is nothing. */
    async #open(): Promise<{ readonly opened: OpenedBody; readonly reader: SourceReader } | undefined> {
        const { open } = this.#options;
        if (this.#offset === 0) {
            return this.#take(await open(undefined, this.#stop.signal));
        }
        if (this.#offset === this.#size) {
            return undefined;
        }
        if (this.#etag === undefined) {
            throw new SourceChangedError('the source gives no parts of what it sends', this.#lastBreak);
        }
        const resume = { offset: this.#offset, etag: this.#etag };
        try {
            return this.#take(await open(resume, this.#stop.signal));
        } catch (error) {
            if (isComplete(error, this.#offset)) {
                return undefined;
            }
            if (error instanceof OutgoingError && error.status === 416) {
                throw new SourceChangedError('the source has no such part', error);
            }
            throw error;
        }
    }

    /** Reads a body from now on, if it goes on where the last one broke off. */
    #take(opened: OpenedBody): { readonly opened: OpenedBody; readonly reader: SourceReader } {
        const { start, etag, size } = opened;
        const isSame =
            this.#offset === 0 ||
            ((etag === undefined || etag === this.#etag) &&
                (size === undefined || this.#size === undefined || size === this.#size));
        if (start !== this.#offset || !isSame || this.#stop.signal.aborted) {
            discard(opened.body);
            this.#stop.signal.throwIfAborted();
            throw new SourceChangedError('the source does not go on where it broke off', this.#lastBreak);
        }
        const { stallMs = STALL_MS, onOpen, size: expected } = this.#options;
        this.#etag = etag ?? (this.#offset === 0 ? undefined : this.#etag);
        this.#size = size ?? (this.#offset === 0 ? expected : this.#size);
        this.#part = { opened, reader: new SourceReader(opened.body, stallMs, this.#stop.signal) };
        onOpen?.(opened);
        return this.#part;
    }

    /** Waits for the next try. @throws the error, when there must be none */
    async #pause(error: unknown): Promise<void> {
        const { retries, onBreak } = this.#options;
        this.#stop.signal.throwIfAborted();
        const pauseMs = error instanceof SourceChangedError ? undefined : retries.pauseAfter(error);
        if (pauseMs === undefined) {
            throw error;
        }
        this.#lastBreak = error;
        onBreak?.({ offset: this.#offset, pauseMs, error });
        await delay(pauseMs, undefined, { signal: this.#stop.signal });
    }

    /** Gives up the body that is being read. */
    #drop(): void {
        const part = this.#part;
        this.#part = undefined;
        if (part !== undefined) {
            part.reader.close();
            discard(part.opened.body);
        }
    }
}
