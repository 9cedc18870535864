import { ApiError, internalError, writeFailure } from '../base/errors.js';
import { shortReason } from '../base/short-reason.js';

/** Refusals and unavailable services keep their own answer; any other failure gets `message`. */
function withMessage(error: unknown, message: string): ApiError {
    if (error instanceof ApiError) {
        return error.code === 'InternalError' ? internalError(message, error) : error;
    }
    return writeFailure(error, message);
}

/**
 * Turns a storage's error into what is answered: 503 `StorageIsDown`, or 500 with `what` and a short
 * reason that names no path (backends 6).
 */
export function storageFailure(error: unknown, what: string): ApiError {
    return withMessage(error, `${what}: ${shortReason(error)}`);
}

/** Gives a failed write of a record the message an endpoint promises, e.g. `could not save image`. */
function recordFailure(error: unknown, message: string): ApiError {
    return withMessage(error, message);
}

/** A rejection handler that throws a storage's error as {@link storageFailure}. */
export function failsAs(what: string): (error: unknown) => never {
    return (error) => {
        throw storageFailure(error, what);
    };
}

/** A rejection handler that throws a failed write of a record as {@link recordFailure}. */
export function savesAs(message: string): (error: unknown) => never {
    return (error) => {
        throw recordFailure(error, message);
    };
}
