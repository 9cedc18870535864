import { ApiError, invalidParameter, systemErrorCode } from '../base/errors.js';
import { OutgoingError } from '../base/http-errors.js';
import { isObject } from '../manifest/coerce.js';

/** Longest message of another server that is repeated to a client, characters. */
const MAX_LENGTH = 500;

/** What another image server said for itself; `undefined`: nothing. */
function saidBy(error: OutgoingError): string | undefined {
    const { message, code } = isObject(error.body) ? error.body : {};
    const said = [message, code].find((text) => typeof text === 'string' && text !== '');
    return typeof said === 'string' ? said.slice(0, MAX_LENGTH) : undefined;
}

/** Why another image server could not be used, fit for a client: its own message, or the code of the error. */
function reasonOf(error: unknown): string {
    const said = error instanceof OutgoingError ? saidBy(error) : undefined;
    if (said !== undefined) {
        return said;
    }
    if (error instanceof OutgoingError && error.status !== undefined) {
        return `HTTP status ${error.status}`;
    }
    return systemErrorCode(error) ?? (error instanceof OutgoingError ? error.kind : 'unexpected error');
}

/**
 * A rejection handler for requests to another image server (jobs-and-imports 3.2, 3.3, 7.4).
 *
 * @param what start of the message, e.g. `Unable to get manifest for image <uuid>`
 * @throws 503 `RemoteSourceError` `<what>. Error from remote: <reason>`; 422 when the guard refused the host;
 * an {@link ApiError} as it is
 */
export function failsAsRemote(what: string): (error: unknown) => never {
    return (error) => {
        if (error instanceof ApiError) {
            throw error;
        }
        if (error instanceof OutgoingError && error.kind === 'refused') {
            throw invalidParameter(`"source" host is not allowed: ${error.host ?? ''}`, [
                { field: 'source', code: 'Invalid' },
            ]);
        }
        throw new ApiError('RemoteSourceError', `${what}. Error from remote: ${reasonOf(error)}`, {
            cause: error,
        });
    };
}
