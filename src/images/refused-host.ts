import { type ApiError, invalidParameter } from '../base/errors.js';
import { OutgoingError } from '../base/http-errors.js';

/** The refusal behind a failure. */
function refusalIn(error: unknown): OutgoingError | undefined {
    if (error instanceof OutgoingError) {
        return error.kind === 'refused' ? error : undefined;
    }
    return error instanceof Error && error.cause !== undefined ? refusalIn(error.cause) : undefined;
}

/**
 * What a request that the guard has refused is answered with (jobs-and-imports 7.4); `undefined` for any
 * other failure.
 *
 * @param field the parameter that names the host
 */
export function hostRefusal(
    error: unknown,
    field: 'source' | 'file_url' | 'repo' | 'repoAndTag' | 'alias',
): ApiError | undefined {
    const refusal = refusalIn(error);
    return refusal === undefined
        ? undefined
        : invalidParameter(`"${field}" host is not allowed: ${refusal.host ?? ''}`, [
              { field, code: 'Invalid' },
          ]);
}
