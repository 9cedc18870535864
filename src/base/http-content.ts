import { Readable } from 'node:stream';
import { OutgoingError } from './http-errors.js';
import { discard } from './http-redirects.js';

/** What a request sends, if it is not JSON. */
export interface RequestContent {
    /** For the header `Content-Type`. */
    readonly type: string;
    /** Bytes. */
    readonly length: number;
    /** Gives the bytes from the first on; called again when they have to be sent again. */
    open(): Promise<Readable>;
    /** Told of bytes that have been handed to the connection. @param sent how many of them in all */
    readonly onSent?: (sent: number) => void;
}

/** Bytes that are there already. */
export function bytesContent(type: string, bytes: Buffer): RequestContent {
    const open = (): Promise<Readable> => Promise.resolve(Readable.from([bytes], { objectMode: false }));
    return { type, length: bytes.length, open };
}

/**
 * Content on its way to a server, once: it is opened when the connection asks for the first byte, read as fast
 * as the other side takes it, and given up when that takes nothing for too long.
 */
export class ContentSender {
    /** For the connection; `null`: there is nothing to send. */
    readonly body: Readable | null;
    readonly #content: RequestContent;
    readonly #stallMs: number;
    readonly #stall = new AbortController();
    #timer: NodeJS.Timeout | undefined;
    #source: Readable | undefined;
    #sent = 0;
    #isClosed = false;
    #failure: OutgoingError | undefined;

    /** @param stallMs longest time without a byte; 0: without limit */
    constructor(content: RequestContent, stallMs: number) {
        this.#content = content;
        this.#stallMs = stallMs;
        this.body = content.length === 0 ? null : Readable.from(this.#chunks(), { objectMode: false });
        // The connection listens only as long as it is interested.
        this.body?.on('error', () => undefined);
    }

    /** Aborted when nothing has been taken for too long. */
    get signal(): AbortSignal {
        return this.#stall.signal;
    }

    /** Whether every byte has been handed to the connection. */
    get isSent(): boolean {
        return this.#sent === this.#content.length;
    }

    /** Why the content could not be sent, where that is not the fault of the connection. */
    get failure(): OutgoingError | undefined {
        return this.#failure;
    }

    /** To be called in any case: nothing is read from now on. */
    close(): void {
        this.#isClosed = true;
        clearTimeout(this.#timer);
        if (this.#source !== undefined) {
            discard(this.#source);
        }
        if (!this.isSent) {
            this.body?.destroy();
        }
    }

    async *#chunks(): AsyncGenerator<Buffer> {
        this.#watch();
        const chunks = await this.#open();
        while (!this.isSent) {
            const chunk = await this.#next(chunks);
            this.#sent += chunk.length;
            if (this.#sent > this.#content.length) {
                throw this.#unreadable(`more than ${this.#content.length} bytes`);
            }
            this.#content.onSent?.(this.#sent);
            this.#timer?.refresh();
            yield chunk;
        }
        clearTimeout(this.#timer);
    }

    async #open(): Promise<AsyncIterator<Buffer>> {
        const source = await this.#content.open().catch((cause: unknown) => {
            throw this.#unreadable('it cannot be opened', cause);
        });
        this.#source = source;
        if (this.#isClosed) {
            discard(source);
        }
        return source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    }

    async #next(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
        const next = await chunks.next().catch((cause: unknown) => {
            throw this.#unreadable('reading failed', cause);
        });
        if (next.done === true) {
            throw this.#unreadable(`${this.#sent} bytes instead of ${this.#content.length}`);
        }
        return next.value;
    }

    #unreadable(reason: string, cause?: unknown): OutgoingError {
        this.#failure ??= new OutgoingError('unreadable', `what is to be sent: ${reason}`, { cause });
        return this.#failure;
    }

    #watch(): void {
        if (this.#stallMs > 0 && !this.#isClosed) {
            this.#timer = setTimeout(() => {
                this.#failure ??= new OutgoingError(
                    'timeout',
                    `nothing of what is to be sent was taken for ${this.#stallMs} ms`,
                );
                this.#stall.abort(this.#failure);
            }, this.#stallMs);
        }
    }
}
