import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import { ApiError } from '../base/errors.js';
import { Tally } from '../base/tally.js';
import { ALLOWED_ALGORITHMS, type Algorithm } from './algorithms.js';
import type { Authenticator, KeyStore, SignedRequest } from './auth.js';
import { PublicKeyCache } from './public-keys.js';
import { parseSignatureParameters, RefusedHeader, type SignatureParameters } from './signature-parameters.js';
import { isSignedBy } from './verify-signature.js';

/** Age in seconds beyond which a signed date is refused, in both directions (http-api 1.11). */
const MAX_CLOCK_SKEW_SECONDS = 300;
/** Most keys of one user that are tried for one request. */
export const MAX_KEYS_TRIED = 100;

const CHALLENGE = { 'WWW-Authenticate': 'Signature realm="imgapi",headers="date"' };

/** Why a request is refused, for the metrics (operations 1.8). */
type Reason = 'missing' | 'malformed' | 'date' | 'algorithm' | 'signature';

/** A refusal on its way out of the checks. */
class Refusal extends ApiError {
    constructor(
        readonly reason: Reason,
        message: string,
        cause?: unknown,
    ) {
        super('UnauthorizedError', message, { headers: CHALLENGE, cause });
    }
}

function headerValue(request: SignedRequest, name: string): string | undefined {
    const value = request.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
}

/** Rows 7 to 9: the date that limits how long a captured signature can be replayed. */
function checkDate(request: SignedRequest, signedHeaders: readonly string[], now: number): void {
    const name = (headerValue(request, 'x-date') ?? '') === '' ? 'date' : 'x-date';
    const value = headerValue(request, name);
    if (value !== undefined) {
        const time = Date.parse(value);
        if (Number.isNaN(time)) {
            throw new Refusal('date', 'invalid date header');
        }
        const skew = Math.abs(now - time);
        if (skew > MAX_CLOCK_SKEW_SECONDS * 1000) {
            throw new Refusal(
                'date',
                `clock skew of ${skew / 1000}s was greater than ${MAX_CLOCK_SKEW_SECONDS}s`,
            );
        }
    }
    if (value === undefined || !signedHeaders.includes(name)) {
        throw new Refusal('date', `${name} was not a signed header`);
    }
}

/** Row 10: names that exist but prove nothing, HMAC above all. */
function allowedAlgorithm(name: string): Algorithm {
    const algorithm = ALLOWED_ALGORITHMS.get(name);
    if (algorithm === undefined) {
        const shown = name.toUpperCase();
        throw new Refusal(
            'algorithm',
            `Unauthorized ("${shown}" is not a supported http-signature signing algorithm)`,
        );
    }
    return algorithm;
}

/** HTTP Signature authentication (http-api 1.11): the order of the checks is the order of its table. */
export class SignatureAuthenticator implements Authenticator {
    readonly #keys: KeyStore;
    readonly #clock: Clock;
    readonly #parsedKeys: PublicKeyCache;
    /** Refused requests. */
    readonly failures = new Tally<'reason'>();

    constructor(options: { readonly keys: KeyStore; readonly clock: Clock; readonly log: Logger }) {
        this.#keys = options.keys;
        this.#clock = options.clock;
        this.#parsedKeys = new PublicKeyCache(options.log);
    }

    /**
     * Checks the `Authorization` header of a request.
     *
     * @returns the user name, from `keyId`
     * @throws {ApiError} 401 `UnauthorizedError` with a `WWW-Authenticate` header; nothing else,
     *     whatever the client sends
     */
    authenticate(request: SignedRequest): string {
        try {
            return this.#authenticate(request);
        } catch (error) {
            if (error instanceof Refusal) {
                this.failures.add({ reason: error.reason });
            }
            throw error;
        }
    }

    #authenticate(request: SignedRequest): string {
        const authorization = headerValue(request, 'authorization') ?? '';
        if (authorization === '') {
            throw new Refusal('missing', 'Unauthorized');
        }
        const parameters = this.#parse(request, authorization);
        checkDate(request, parameters.signedHeaders, this.#clock.now());
        const algorithm = allowedAlgorithm(parameters.algorithm);
        if (!this.#isSignedByUser(parameters, algorithm)) {
            throw new Refusal('signature', 'Unauthorized');
        }
        return parameters.keyId;
    }

    #parse(request: SignedRequest, authorization: string): SignatureParameters {
        try {
            return parseSignatureParameters(request, authorization);
        } catch (error) {
            const message = error instanceof RefusedHeader ? error.message : 'Unauthorized';
            throw new Refusal('malformed', message, error);
        }
    }

    #isSignedByUser(parameters: SignatureParameters, algorithm: Algorithm): boolean {
        const user = parameters.keyId;
        return this.#keys
            .keysOf(user)
            .slice(0, MAX_KEYS_TRIED)
            .some((line) => {
                const key = this.#parsedKeys.get(user, line);
                return key !== undefined && isSignedBy(parameters, algorithm, key);
            });
    }
}
