import { ApiError, systemErrorCode } from '../base/errors.js';
import { connectionWords, OutgoingError, type OutgoingErrorKind } from '../base/http-errors.js';
import { isObject } from '../manifest/coerce.js';
import { hostRefusal } from './refused-host.js';

/** Longest message of another server that is repeated to a client, characters. */
const MAX_LENGTH = 500;

/** What another image server said for itself; `undefined`: nothing. */
function saidBy(error: OutgoingError): string | undefined {
    const { message, code } = isObject(error.body) ? error.body : {};
    const said = [message, code].find((text) => typeof text === 'string' && text !== '');
    return typeof said === 'string' ? said.slice(0, MAX_LENGTH) : undefined;
}

/** What else went wrong, in words that name no address. */
const WORDS: Readonly<Record<OutgoingErrorKind, string>> = {
    connect: 'connection lost',
    timeout: 'timeout',
    status: 'no success',
    malformed: 'malformed answer',
    'too-large': 'answer too large',
    unreadable: 'nothing to send',
    aborted: 'request given up',
    refused: 'host is not allowed',
};

/** What the system says of a connection, e.g. `connect ECONNREFUSED 192.0.2.7:443`. */
function systemText({ cause }: OutgoingError): string | undefined {
    const words = cause instanceof Error ? connectionWords(cause) : '';
    return words === '' ? undefined : words.slice(0, MAX_LENGTH);
}

/** Why another image server could not be used, fit for a client: its own message, or the system's (http-api 3.5). */
function reasonOf(error: unknown): string {
    if (!(error instanceof OutgoingError)) {
        return systemErrorCode(error) ?? 'unexpected error';
    }
    if (error.status !== undefined) {
        return saidBy(error) ?? `HTTP status ${error.status}`;
    }
    return (error.kind === 'connect' ? systemText(error) : undefined) ?? WORDS[error.kind];
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
        const answer = `${what}. Error from remote: ${reasonOf(error)}`;
        throw hostRefusal(error, 'source') ?? new ApiError('RemoteSourceError', answer, { cause: error });
    };
}
