import { ApiError, internalError, RelayedError } from '../base/errors.js';
import type { Reply } from './reply.js';

/** What a client is told of a failure nobody foresaw; the log has the cause (http-api 1.10). */
const UNFORESEEN = 'internal error';

/** Any failure as the error to answer; unforeseen ones become 500 `InternalError` (http-api 1.10, D2, D5). */
export function toApiError(error: unknown): ApiError {
    return error instanceof ApiError ? error : internalError(UNFORESEEN, error);
}

/** The answer to a failed request: the one place where errors become bodies. */
export function errorReply(error: ApiError): Reply {
    const value = error instanceof RelayedError ? error.body : error.toBody();
    return { kind: 'json', value, status: error.status, headers: error.headers };
}
