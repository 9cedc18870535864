import type { ServerResponse } from 'node:http';
import type { ApiError } from '../base/errors.js';
import { toApiError } from './errors.js';
import type { HttpLimits } from './limits.js';
import { isWork, type LineStyle } from './line-style.js';
import type { StreamLine } from './reply.js';
import type { LinesBody } from './send.js';

/** How a stream ended. */
export interface StreamEnd {
    /** How long the client may take to read the rest, ms. */
    readonly limitMs: number;
    /** Why its source failed. */
    readonly error?: ApiError;
}

/**
 * One answer that consists of lines. Nothing is kept for a reader that is slow: the next line is asked for
 * when the last one was taken, and a reader that takes nothing is cut (jobs-and-imports 8.3).
 */
class LineStream {
    readonly #response: ServerResponse;
    readonly #limits: HttpLimits;
    readonly #style: LineStyle;
    readonly #stop = new AbortController();
    readonly #lines: AsyncIterator<StreamLine>;
    /** Whether a line was asked for that has not been sent. */
    #asked = false;
    #result: IteratorResult<StreamLine> | undefined;
    #error: ApiError | undefined;
    #closing = false;
    #wake: () => void = () => undefined;

    constructor(response: ServerResponse, body: LinesBody, limits: HttpLimits) {
        this.#response = response;
        this.#limits = limits;
        this.#style = body.style;
        this.#lines = body.lines(this.#stop.signal)[Symbol.asyncIterator]();
    }

    /** Ends it with a line that says so, unless it is work: the client may ask again, elsewhere. */
    close(): void {
        this.#closing = !isWork(this.#style);
        this.#wake();
    }

    /** Writes until the source is at its end, the client has gone or was cut, or the stream was closed. */
    async run(): Promise<StreamEnd> {
        const { readerMs, abortMs } = this.#limits;
        const woken = (): void => this.#wake();
        this.#response.on('close', woken).on('drain', woken);
        this.#response.flushHeaders();
        try {
            while (await this.#step()) {
                // Each step waits for the reader, the source or the clock.
            }
        } finally {
            this.#response.off('close', woken).off('drain', woken);
            await this.#stopSource();
        }
        const error = this.#error;
        return {
            limitMs: this.#closing ? abortMs : readerMs,
            ...(error === undefined ? {} : { error }),
        };
    }

    /** Work is waited for, so that what it undoes is undone; what a source says to the end is of no interest. */
    async #stopSource(): Promise<void> {
        this.#stop.abort(new Error('nobody reads the stream any more'));
        const stopped = this.#lines.return?.().catch(() => undefined);
        if (isWork(this.#style)) {
            await stopped;
        }
    }

    /** @returns whether there is more to do */
    async #step(): Promise<boolean> {
        const response = this.#response;
        if (response.destroyed || response.closed) {
            return false;
        }
        const { alive, closing } = this.#style;
        if (this.#closing && closing !== undefined) {
            this.#write(closing);
            return false;
        }
        if (response.writableNeedDrain) {
            return this.#drained();
        }
        this.#ask();
        if (!(await this.#until(() => this.#answered, this.#limits.silenceMs))) {
            if (alive !== undefined) {
                this.#write(alive);
            }
            return true;
        }
        return this.#take();
    }

    #write(line: StreamLine): void {
        this.#response.write(this.#style.text(line));
    }

    get #answered(): boolean {
        return this.#result !== undefined || this.#error !== undefined;
    }

    /** Waits for the reader; cuts it when it has taken nothing for too long. */
    async #drained(): Promise<boolean> {
        if (await this.#until(() => !this.#response.writableNeedDrain, this.#limits.readerMs)) {
            return true;
        }
        this.#response.destroy();
        return false;
    }

    /** Sends what the source has said, if it has. */
    #take(): boolean {
        const result = this.#result;
        if (this.#error !== undefined) {
            this.#write(this.#style.failed(this.#error));
            return false;
        }
        if (result === undefined) {
            return true;
        }
        if (result.done === true) {
            return false;
        }
        this.#asked = false;
        this.#result = undefined;
        this.#write(result.value);
        return true;
    }

    #ask(): void {
        if (this.#asked) {
            return;
        }
        this.#asked = true;
        this.#lines.next().then(
            (result) => {
                this.#result = result;
                this.#wake();
            },
            (thrown: unknown) => {
                this.#error = toApiError(thrown);
                this.#wake();
            },
        );
    }

    /** Waits until `done`, the stream is to end, or the time is up: only then the answer is false. */
    async #until(done: () => boolean, limitMs: number): Promise<boolean> {
        let late = false;
        const timer = setTimeout(() => {
            late = true;
            this.#wake();
        }, limitMs);
        while (!done() && !late && !this.#closing && !this.#response.destroyed && !this.#response.closed) {
            await new Promise<void>((resolve) => (this.#wake = resolve));
        }
        clearTimeout(timer);
        return done() || !late;
    }
}

/** The streams a server has open. */
export class LineStreams {
    readonly #limits: HttpLimits;
    readonly #open = new Set<LineStream>();
    #closed = false;

    constructor(limits: HttpLimits) {
        this.#limits = limits;
    }

    /** Writes the lines of an answer behind its headers, without ending the response. */
    async write(response: ServerResponse, body: LinesBody): Promise<StreamEnd> {
        try {
            const stream = new LineStream(response, body, this.#limits);
            this.#open.add(stream);
            if (this.#closed) {
                stream.close();
            }
            return await stream.run().finally(() => this.#open.delete(stream));
        } finally {
            body.release();
        }
    }

    /** Ends all of them with a last line, for good. */
    close(): void {
        this.#closed = true;
        this.#open.forEach((stream) => stream.close());
    }
}
