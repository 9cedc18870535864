import type { Readable } from 'node:stream';
import type { LineStyle } from './line-style.js';

/** Headers of a reply, as sent. */
export type ReplyHeaders = Readonly<Record<string, string>>;

/** A resource with an entity tag, for conditional requests (http-api 1.6, 1.7). */
export interface EntityFacts {
    /** Unquoted, as sent. */
    readonly etag: string;
    /** Milliseconds since the epoch; absent for image documents. */
    readonly lastModified?: number;
}

/** A file or icon to send, with ranges (http-api 1.8). */
export interface DownloadReply {
    readonly kind: 'download';
    readonly entity: EntityFacts;
    readonly size: number;
    readonly contentType: string;
    /** Base64; absent in old records. */
    readonly contentMD5?: string;
    /**
     * The front server can send the bytes itself; the range is its matter, too. Makes sure that they are
     * there; called before headers are sent.
     *
     * @returns where it finds them; `undefined`: they are not where it can
     * @throws what is to be answered instead
     */
    readonly handOff?: () => Promise<string | undefined>;
    /**
     * Opens the bytes; called before headers are sent, also for HEAD (then destroyed at once).
     * Byte offsets, `end` inclusive; absent: the whole file.
     *
     * @throws what is to be answered instead
     */
    open(range: { readonly start: number; readonly end: number } | undefined): Promise<Readable>;
}

/** A line of a stream: a JSON object. */
export interface StreamLine {
    readonly type: string;
    readonly [key: string]: unknown;
}

/** Lines of JSON, sent as they come for as long as that takes (jobs-and-imports 5.4, 8.3). */
export interface LinesReply {
    readonly kind: 'lines';
    readonly headers?: ReplyHeaders;
    readonly style: LineStyle;
    /**
     * Begins the lines; not called for HEAD. The next one is asked for when the reader has room for it, so
     * lines that tell of a state should tell of the one at that moment. What is thrown becomes a last line,
     * see {@link LineStyle.failed}.
     *
     * @param signal aborted when nobody wants further lines
     */
    lines(signal: AbortSignal): AsyncIterable<StreamLine>;
    /** Called once when the answer is over, sent or not. */
    release(): void;
}

/** What a handler answers; the sender turns it into bytes, for HEAD without the body. */
export type Reply =
    /** A value sent as JSON with two-space indent. */
    | {
          readonly kind: 'json';
          readonly value: unknown;
          readonly status?: number;
          readonly headers?: ReplyHeaders;
      }
    /** JSON that is already text: one part or many, sent one after the other with the total as length. */
    | { readonly kind: 'text'; readonly parts: readonly Buffer[]; readonly headers?: ReplyHeaders }
    /** No body: 202, 204, 301, 304. */
    | { readonly kind: 'empty'; readonly status: number; readonly headers?: ReplyHeaders }
    /** Bytes in memory with a content type of their own. */
    | {
          readonly kind: 'bytes';
          readonly bytes: Buffer;
          readonly contentType: string;
          readonly headers?: ReplyHeaders;
      }
    | DownloadReply
    | LinesReply;
