import { connectionCode, OutgoingError } from './http-errors.js';

/** Answers that say nothing about the request, only about the moment (jobs-and-imports 9.7). */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Longest wait that a server may ask for, milliseconds. */
const MAX_RETRY_AFTER_MS = 300_000;

/** Codes of connections that were refused for their certificate, or never spoke TLS. */
const TLS_CODES =
    /CERT|CRL|ISSUER|LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|^ERR_(TLS|SSL)_|^EPROTO$/;

/** Codes of bodies that ended before their last byte, though the connection was closed in good order. */
const TRUNCATED_CODES: ReadonlySet<string> = new Set([
    'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
    'HPE_INVALID_EOF_STATE',
]);

function isTransientOutgoing(error: OutgoingError): boolean {
    switch (error.kind) {
        case 'connect':
            return !TLS_CODES.test(connectionCode(error.cause));
        case 'timeout':
            return true;
        case 'status':
            return TRANSIENT_STATUSES.has(error.status ?? 0);
        case 'malformed':
            return TRUNCATED_CODES.has(connectionCode(error.cause));
        case 'too-large':
        case 'unreadable':
        case 'aborted':
        case 'refused':
            return false;
    }
}

/**
 * Whether a request that failed like this may succeed if it is made again a moment later: connections
 * that cannot be made or break, names that do not resolve, timeouts, truncated bodies, and the statuses
 * that ask for it; not certificates, other statuses or anything else (jobs-and-imports 9.7). An error
 * that has an {@link OutgoingError} as its cause counts as that.
 */
export function isTransient(error: unknown): boolean {
    if (error instanceof OutgoingError) {
        return isTransientOutgoing(error);
    }
    return error instanceof Error && error.cause !== undefined && isTransient(error.cause);
}

/**
 * What `Retry-After` of a failed answer asks for, at most 300 s, milliseconds; 0: nothing. An error counts
 * as in {@link isTransient}.
 */
export function retryAfterMs(error: unknown, now: number): number {
    if (!(error instanceof OutgoingError)) {
        return error instanceof Error && error.cause !== undefined ? retryAfterMs(error.cause, now) : 0;
    }
    const value = error.headers['retry-after'];
    if (typeof value !== 'string') {
        return 0;
    }
    const wait = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
    return Number.isNaN(wait) ? 0 : Math.min(Math.max(wait, 0), MAX_RETRY_AFTER_MS);
}
