import { ApiError, internalError } from '../../base/errors.js';
import type { ErrorCode } from '../../base/error-catalogue.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import { hostRefusal } from '../refused-host.js';

/** Longest message of a registry that is repeated to a client, characters. */
const MAX_LENGTH = 500;

/** What a registry says of a failure for itself: `{"errors": [{"code", "message"}]}`. */
function saidBy({ body }: OutgoingError): { readonly code?: string; readonly message?: string } {
    const errors: unknown = isObject(body) ? body['errors'] : undefined;
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    const { code, message } = isObject(first) ? first : {};
    return {
        ...(typeof code === 'string' ? { code } : {}),
        ...(typeof message === 'string' && message !== '' ? { message: message.slice(0, MAX_LENGTH) } : {}),
    };
}

const CODES_OF_STATUS: ReadonlyMap<number | undefined, ErrorCode> = new Map([
    [401, 'UnauthorizedError'],
    [404, 'ResourceNotFound'],
]);

function codeOf(error: OutgoingError): ErrorCode {
    switch (error.kind) {
        case 'connect':
        case 'timeout':
            return 'RemoteSourceError';
        case 'status':
            return saidBy(error).code === 'DIGEST_INVALID'
                ? 'ValidationFailed'
                : (CODES_OF_STATUS.get(error.status) ?? 'InternalError');
        default:
            return 'InternalError';
    }
}

/**
 * What the error line of a pull or push says of a failure: the registry's own words where it has any, else
 * what was asked and what came of it (jobs-and-imports 5.3).
 *
 * @param field the parameter that names the registry
 */
export function registryFailure(error: unknown, field: 'repo' | 'repoAndTag' = 'repo'): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    if (!(error instanceof OutgoingError)) {
        return internalError('internal error', error);
    }
    return (
        hostRefusal(error, field) ??
        new ApiError(codeOf(error), saidBy(error).message ?? error.message, { cause: error })
    );
}
