import httpSignature from 'http-signature';
import type { SignedRequest } from './auth.js';
import { KNOWN_ALGORITHMS } from './algorithms.js';

/** What a well-formed `Authorization` header says, and the text that was signed. */
export interface SignatureParameters {
    readonly keyId: string;
    /** Lower case, one of {@link KNOWN_ALGORITHMS}. */
    readonly algorithm: string;
    /** Lower-case names. */
    readonly signedHeaders: readonly string[];
    readonly signingString: string;
    /** As `http-signature` wants it for verifying. */
    readonly parsed: ReturnType<typeof httpSignature.parseRequest>;
}

/** A header that is refused; the message is the one of http-api 1.11. */
export class RefusedHeader extends Error {}

/** Longest `Authorization` header that is looked at, in characters; an RSA-16384 one has 3,000. */
export const MAX_AUTHORIZATION_LENGTH = 8192;
/** Most words, and so signed headers, in it: each one adds its value to the text to be hashed. */
const MAX_AUTHORIZATION_WORDS = 64;
/** Longest text that is verified, in characters. */
const MAX_SIGNING_STRING_LENGTH = 65_536;

/** The library refuses dates by the machine's clock; ours is checked afterwards, so let all pass. */
const ANY_SKEW_SECONDS = Number.MAX_SAFE_INTEGER;
/** Headers that only newer drafts know; the library makes them up without looking at the request. */
const UNSUPPORTED_PSEUDO_HEADERS = ['(keyid)', '(algorithm)', '(opaque)', '(created)', '(expires)'];
/** A name no client can send: it lets us hand the library a header of our own. */
const OWN_HEADER = ':authorization';
/** Names that a client may list as signed although it cannot send them. */
const NEVER_SENT: ReadonlySet<string> = new Set([...UNSUPPORTED_PSEUDO_HEADERS, OWN_HEADER]);

const UNQUOTED_VALUE = /^[^ ]* (?:[A-Za-z]+="[^"]*",)*[A-Za-z]+=[0-9]/;
const ALGORITHM_PARAMETER = /(?<=[ ,]algorithm=")[^"]*(?=")/g;

/** Request headers as single strings, safe to be asked for any name (D2: `constructor`). */
function plainHeaders(request: SignedRequest): Record<string, string> {
    const headers = Object.create(null) as Record<string, string>;
    for (const [name, value] of Object.entries(request.headers)) {
        if (value !== undefined) {
            headers[name] = typeof value === 'string' ? value : value.join(', ');
        }
    }
    return headers;
}

/**
 * The library knows no `ecdsa-sha384` and takes `rsa-constructor` for an algorithm. It gets a name
 * that it treats as ours is to be treated; the real one is kept aside.
 */
function algorithmForLibrary(given: string): string {
    const name = given.toLowerCase();
    if (given === '') {
        return given;
    }
    return !KNOWN_ALGORITHMS.has(name) ? 'unknown' : name === 'ecdsa-sha384' ? 'ecdsa-sha256' : name;
}

function refusalText(error: unknown, algorithm: string): string {
    const message = error instanceof Error ? error.message : '';
    if (error instanceof TypeError) {
        return 'bad param format';
    }
    if (message === 'unknown is not supported') {
        return `${algorithm} is not supported`;
    }
    if (error instanceof Error && error.name === 'ExpiredRequestError') {
        return 'Unauthorized'; // an impossible "created" or "expires", parameters that we do not use
    }
    return message.startsWith('opaque param') ? '(opaque) was not in the request' : message;
}

function parse(
    request: SignedRequest,
    authorization: string,
    algorithm: string,
): SignatureParameters['parsed'] {
    const headers = plainHeaders(request);
    headers[OWN_HEADER] = authorization.replace(ALGORITHM_PARAMETER, algorithmForLibrary);
    if (headers['signature'] === headers[OWN_HEADER]) {
        delete headers['signature']; // the library would take ours for this one, which needs no scheme
    }
    const { method, url, httpVersion } = request;
    const options = { authorizationHeaderName: OWN_HEADER, clockSkew: ANY_SKEW_SECONDS, headers: [] };
    try {
        // The declared type is the client's request, the code reads just these four properties.
        const reduced = { method, url, httpVersion, headers } as unknown as Parameters<
            typeof httpSignature.parseRequest
        >[0];
        return httpSignature.parseRequest(reduced, options);
    } catch (error) {
        throw new RefusedHeader(refusalText(error, algorithm), { cause: error });
    }
}

/**
 * Takes an `Authorization` header apart with `http-signature` and checks what that misses: bounds,
 * unquoted values, algorithm names, pseudo headers (http-api 1.11, rows 2 to 6).
 *
 * @throws {RefusedHeader} with the message to answer
 */
export function parseSignatureParameters(request: SignedRequest, authorization: string): SignatureParameters {
    const words =
        authorization.length > MAX_AUTHORIZATION_LENGTH ? Infinity : authorization.split(' ').length;
    if (words > MAX_AUTHORIZATION_WORDS || UNQUOTED_VALUE.test(authorization)) {
        throw new RefusedHeader('bad param format');
    }
    // The library lets the last of several parameters of one name win.
    const algorithm = authorization.match(ALGORITHM_PARAMETER)?.at(-1) ?? '';
    const parsed = parse(request, authorization, algorithm);
    const { keyId, headers: signedHeaders = [] } = parsed.params as { keyId: string; headers?: string[] };
    const absent = signedHeaders.find((name) => NEVER_SENT.has(name));
    if (absent !== undefined) {
        throw new RefusedHeader(`${absent} was not in the request`);
    }
    if (parsed.signingString.length > MAX_SIGNING_STRING_LENGTH) {
        throw new RefusedHeader('Unauthorized');
    }
    return {
        keyId,
        algorithm: algorithm.toLowerCase(),
        signedHeaders,
        signingString: parsed.signingString,
        parsed,
    };
}
