/** Bounds of the HTTP server in time and size (README table D, http-api 3.8). */
export interface HttpLimits {
    /** Until the header section of a request must be there, ms. */
    readonly headersMs: number;
    /** How often connections are checked for {@link headersMs}, ms. */
    readonly headersCheckMs: number;
    /** How long an idle connection is kept for the next request, ms. */
    readonly keepAliveMs: number;
    /** How long a connection may be silent while a request or an answer is being sent, ms. */
    readonly inactivityMs: number;
    /** Up to which announced length a body that nobody wants is read to keep the connection, bytes (D13). */
    readonly drainBytes: number;
    /** How much a client may still send behind the last answer of a connection before it is cut, bytes (D13). */
    readonly lingerBytes: number;
    /** How long it may go on with that, or with a body that nobody wants, ms. */
    readonly lingerMs: number;
    /** How long it may send nothing meanwhile, ms. */
    readonly lingerSilenceMs: number;
    /** How many requests of one connection may wait for their turn. */
    readonly pipelined: number;
    /** After how long without a line a stream gets one that only says it lives, ms (jobs-and-imports 8.3). */
    readonly silenceMs: number;
    /** How long the reader of a stream may take nothing before it is cut, ms (jobs-and-imports 8.3). */
    readonly readerMs: number;
    /** How long aborted requests get for their last answer, ms. */
    readonly abortMs: number;
}

/** What a running server uses; tests shorten the times. */
export const DEFAULT_HTTP_LIMITS: HttpLimits = {
    headersMs: 60_000,
    headersCheckMs: 10_000,
    keepAliveMs: 65_000,
    inactivityMs: 600_000,
    drainBytes: 1_048_576,
    lingerBytes: 1_073_741_824,
    lingerMs: 30_000,
    lingerSilenceMs: 5_000,
    pipelined: 64,
    silenceMs: 15_000,
    readerMs: 60_000,
    abortMs: 1_000,
};
