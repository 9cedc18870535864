/** How an outgoing request failed, see {@link OutgoingError}. */
export type OutgoingErrorKind =
    'connect' | 'timeout' | 'status' | 'malformed' | 'too-large' | 'unreadable' | 'aborted' | 'refused';

/** What an {@link OutgoingError} may carry beside its message. */
export interface OutgoingErrorFacts {
    readonly status?: number;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
    readonly host?: string;
    readonly cause?: unknown;
}

/**
 * A request to another server failed; callers turn it into what they answer:
 * - `connect`: there is no connection, or it was lost;
 * - `timeout`: the server was too slow;
 * - `status`: it answered with something else than 2xx, see `status` and `body`;
 * - `malformed`: what it answered is no HTTP, no JSON or an endless redirect, or the URL is none;
 * - `too-large`: the body is over the limit;
 * - `unreadable`: what was to be sent could not be read here;
 * - `aborted`: the caller's signal ended it, or the client is closed;
 * - `refused`: the guard does not let us talk to `host`, nothing was sent (jobs-and-imports 7.4).
 */
export class OutgoingError extends Error {
    readonly kind: OutgoingErrorKind;
    /** Status of the answer; of kind `status`, and of redirects that cannot be followed. */
    readonly status: number | undefined;
    /** Body of the answer, if it was JSON of a modest size; only of kind `status`. */
    readonly body: unknown;
    /** Headers of the answer, names in lower case; only of kind `status`. */
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
    /** Name or address of the host; only of kind `refused`. */
    readonly host: string | undefined;

    /** @param message for the log: it must hold neither user info nor a query string */
    constructor(kind: OutgoingErrorKind, message: string, facts: OutgoingErrorFacts = {}) {
        super(message, { cause: facts.cause });
        this.name = 'OutgoingError';
        this.kind = kind;
        this.status = facts.status;
        this.body = facts.body;
        this.headers = facts.headers ?? {};
        this.host = facts.host;
    }
}

function textOf(error: unknown, key: 'code' | 'reason' | 'syscall'): string {
    const value: unknown = error instanceof Error ? (error as unknown as Record<string, unknown>)[key] : '';
    return typeof value === 'string' ? value : '';
}

/** Every address of a host was tried and failed: what the last try says counts. */
function lastOf(error: unknown): unknown {
    return error instanceof AggregateError ? error.errors.at(-1) : error;
}

/** The system's, TLS's or the HTTP client's code of a failure below HTTP; empty: there is none. */
export function connectionCode(error: unknown): string {
    return textOf(lastOf(error), 'code');
}

/** What the system or TLS says of a failure below HTTP, e.g. `connect ECONNREFUSED 192.0.2.7:443`. */
export function connectionWords(error: unknown): string {
    const last = lastOf(error);
    if (!(last instanceof Error)) {
        return String(last);
    }
    // Messages of OpenSSL name lines of its source; its reasons are words.
    const reason = textOf(last, 'code').startsWith('ERR_SSL_') ? textOf(last, 'reason') : '';
    // Newer versions of Node.js add what to do with Node.js, which is nothing for whoever reads this.
    const [words = ''] = (reason || last.message).split('; if the root CA is installed locally');
    return words;
}

/** Whether nothing was sent for want of a connection, so that any request may be sent again. */
export function isUnsent(error: unknown): boolean {
    const last = lastOf(error);
    return (
        textOf(last, 'code') === 'UND_ERR_CONNECT_TIMEOUT' ||
        ['connect', 'getaddrinfo'].includes(textOf(last, 'syscall'))
    );
}

/** Whether an open connection went away under the request, as one does that the server has closed for idleness. */
export function isLost(error: unknown): boolean {
    return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(textOf(error, 'code'));
}

function kindOf(error: unknown): OutgoingErrorKind {
    const code = connectionCode(error);
    if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
        return 'timeout';
    }
    if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
        return 'aborted';
    }
    const isBadHttp =
        code.startsWith('HPE_') ||
        code === 'UND_ERR_HEADERS_OVERFLOW' ||
        code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';
    return isBadHttp ? 'malformed' : 'connect';
}

/** Names what went wrong below HTTP; an {@link OutgoingError} passes unchanged. */
export function toOutgoingError(error: unknown, what: string): OutgoingError {
    if (error instanceof OutgoingError) {
        return error;
    }
    return new OutgoingError(kindOf(error), `${what}: ${connectionWords(error)}`, { cause: error });
}
