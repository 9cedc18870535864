import {
    ApiError,
    imageNotFound,
    internalError,
    serviceUnavailable,
    systemErrorCode,
} from '../../base/errors.js';

/** How deep a chain of causes is followed. */
const MAX_CAUSES = 20;

/** The connection broke or nobody answered: what was asked for may have been done or not. */
const OUTCOME_UNKNOWN = new Set(['FastTransportError', 'FastProtocolError', 'TimeoutError']);

/** Moray or its database is not there (backends 4.4), or its bucket not yet. */
const UNAVAILABLE = new Set([
    ...OUTCOME_UNKNOWN,
    'NotConnectedError',
    'NoBackendsError',
    'NoDatabasePeersError',
    'BucketNotFoundError',
    'ConnectTimeoutError',
    'ConnectionTimeoutError',
    'QueryTimeoutError',
    'UnavailableError',
    'OverloadedError',
]);

/** There is no connection to Moray; nothing was sent. */
export class NotConnectedError extends Error {
    override readonly name = 'NotConnectedError';
}

/** Nobody answered in time. */
export class TimeoutError extends Error {
    override readonly name = 'TimeoutError';
}

/** An error and its causes: kept as a property by some, told by a method by the client's own. */
function* causes(error: unknown): Generator<Error> {
    let current = error;
    for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
        yield current;
        const cause: unknown = current.cause;
        current = typeof cause === 'function' ? (cause as () => unknown).call(current) : cause;
    }
}

function hasName(error: unknown, names: ReadonlySet<string>): boolean {
    for (const { name } of causes(error)) {
        if (names.has(name)) {
            return true;
        }
    }
    return false;
}

/** Tells whether an error or one of its causes has a name (backends 4.4). */
export function isNamed(error: unknown, name: string): boolean {
    return hasName(error, new Set([name]));
}

/** Somebody else changed the row since it was read, or it exists already. */
export function isConflict(error: unknown): boolean {
    return isNamed(error, 'EtagConflictError');
}

/** There is no such row. */
export function isMissing(error: unknown): boolean {
    return isNamed(error, 'ObjectNotFoundError');
}

/** Whether a write that failed may have been done all the same. */
export function isOutcomeUnknown(error: unknown): boolean {
    return hasName(error, OUTCOME_UNKNOWN) || systemErrorCode(error) !== undefined;
}

/** Tells whether Moray or its database cannot be reached, or does not answer in time. */
export function isUnavailable(error: unknown): boolean {
    return hasName(error, UNAVAILABLE) || systemErrorCode(error) !== undefined;
}

/** What is answered while Moray cannot be used (backends 4.4). */
export function unavailable(cause?: unknown): ApiError {
    return serviceUnavailable('service unavailable', 5, cause);
}

/** What is answered when a record could not be read. An {@link ApiError} passes unchanged. */
export function readFailure(error: unknown, uuid: string): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    return isMissing(error) ? imageNotFound(uuid) : unavailable(error);
}

/** What is answered when anything else failed, `what` being for the client. An {@link ApiError} passes unchanged. */
export function otherFailure(error: unknown, what: string): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    return isUnavailable(error) ? unavailable(error) : internalError(what, error);
}
