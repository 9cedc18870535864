import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { isObject } from '../coerce.js';
import type { JsonObject, JsonValue } from '../types.js';
import { parseJsonObject } from './json-document.js';

/** How a signature is made with a kind of key (RFC 7518, 3.1). */
interface Algorithm {
    readonly hash: 'sha256' | 'sha384' | 'sha512';
    readonly keyType: 'EC' | 'RSA';
    /** Of EC keys, as Node names it. */
    readonly curve?: string;
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
    ['ES256', { hash: 'sha256', keyType: 'EC', curve: 'prime256v1' }],
    ['ES384', { hash: 'sha384', keyType: 'EC', curve: 'secp384r1' }],
    ['ES512', { hash: 'sha512', keyType: 'EC', curve: 'secp521r1' }],
    ['RS256', { hash: 'sha256', keyType: 'RSA' }],
    ['RS384', { hash: 'sha384', keyType: 'RSA' }],
    ['RS512', { hash: 'sha512', keyType: 'RSA' }],
]);

/** Most signatures of a document. */
const MAX_SIGNATURES = 16;
/** Lengths of RSA keys, bits: shorter ones prove nothing, longer ones take long. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
/** Longest number of a key, base64url: that of {@link MAX_RSA_BITS}. */
const MAX_KEY_NUMBER = 1366;

const BASE64URL_RE = /^[\w-]+$/;

/** A signature, and what it says of the text it is made of. */
interface Signature {
    readonly header: JsonObject;
    readonly signature: Buffer;
    /** Base64url, as it is signed. */
    readonly protectedText: string;
    /** How many of the document's first bytes are signed. */
    readonly formatLength: number;
    /** What follows them: the end that the document had before signatures came into it. */
    readonly formatTail: Buffer;
}

function fromBase64url(value: unknown, what: string): Buffer {
    if (typeof value !== 'string' || !BASE64URL_RE.test(value)) {
        throw new Error(`${what} is not base64url`);
    }
    return Buffer.from(value, 'base64url');
}

function readSignature(value: JsonValue, document: Buffer): Signature {
    if (!isObject(value) || !isObject(value['header'])) {
        throw new Error('it has no header');
    }
    const { formatLength, formatTail } = parseJsonObject(
        fromBase64url(value['protected'], 'the protected header'),
    );
    if (typeof formatLength !== 'number' || !Number.isSafeInteger(formatLength) || formatLength < 0) {
        throw new Error('formatLength is no length');
    }
    if (formatLength > document.length) {
        throw new Error('formatLength is more than there is');
    }
    return {
        header: value['header'],
        signature: fromBase64url(value['signature'], 'the signature'),
        protectedText: value['protected'] as string,
        formatLength,
        formatTail: fromBase64url(formatTail, 'formatTail'),
    };
}

function algorithmOf({ alg, x5c }: JsonObject): Algorithm {
    if (x5c !== undefined) {
        throw new Error('certificate chains are not supported');
    }
    const algorithm = typeof alg === 'string' ? ALGORITHMS.get(alg) : undefined;
    if (algorithm === undefined) {
        const shown = typeof alg === 'string' ? alg.slice(0, 20) : 'none';
        throw new Error(`algorithm "${shown}" is not supported`);
    }
    return algorithm;
}

function importKey(key: JsonWebKey): KeyObject {
    try {
        return createPublicKey({ key, format: 'jwk' });
    } catch (cause) {
        throw new Error('its key is none', { cause });
    }
}

/** The public key in a header, of the kind the algorithm needs; whatever else the header holds of it is left. */
function keyOf({ jwk }: JsonObject, { keyType, curve }: Algorithm): KeyObject {
    if (!isObject(jwk)) {
        throw new Error('it has no key');
    }
    const names = keyType === 'EC' ? ['crv', 'x', 'y'] : ['n', 'e'];
    const parts = names.map((name): [string, unknown] => [name, jwk[name]]);
    if (jwk['kty'] !== keyType) {
        throw new Error(`its algorithm needs a key of type ${keyType}`);
    }
    if (!parts.every(([, part]) => typeof part === 'string' && part.length <= MAX_KEY_NUMBER)) {
        throw new Error('its key is incomplete');
    }
    const key = importKey({ ...Object.fromEntries(parts), kty: keyType });
    const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
    if (namedCurve !== curve) {
        throw new Error('its algorithm needs a key on another curve');
    }
    if (modulusLength !== undefined && (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)) {
        throw new Error(
            `its key has ${modulusLength} bits (${MIN_RSA_BITS} to ${MAX_RSA_BITS} are supported)`,
        );
    }
    return key;
}

/** @param payload base64url */
function checkSignature({ header, signature, protectedText }: Signature, payload: string): void {
    const algorithm = algorithmOf(header);
    const key = keyOf(header, algorithm);
    const signed = Buffer.from(`${protectedText}.${payload}`);
    if (!verify(algorithm.hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)) {
        throw new Error('it does not verify');
    }
}

/**
 * The part of a document that its signatures cover, once each of them has been verified with the key it brings
 * (jobs-and-imports 5.2): JSON Web Signatures in the form Docker gives them, in an array `signatures` at the end
 * of the document they sign. Nothing of the document but this part is to be used.
 *
 * @param document its bytes
 * @param signatures what it has under this name
 * @throws Error whose message says in a few words what is wrong
 */
export function verifySignatures(document: Buffer, signatures: JsonValue | undefined): Buffer {
    if (!Array.isArray(signatures)) {
        throw new Error('there are no signatures');
    }
    if (signatures.length > MAX_SIGNATURES) {
        throw new Error(`there are ${signatures.length} signatures (max ${MAX_SIGNATURES})`);
    }
    const [first, ...others] = (signatures as readonly JsonValue[]).map((value) =>
        readSignature(value, document),
    );
    if (first === undefined) {
        throw new Error('there are no signatures');
    }
    const { formatLength, formatTail } = first;
    if (!others.every((one) => one.formatLength === formatLength && one.formatTail.equals(formatTail))) {
        throw new Error('signatures cover different parts');
    }
    const payload = Buffer.concat([document.subarray(0, formatLength), formatTail]);
    const encoded = payload.toString('base64url');
    for (const signature of [first, ...others]) {
        checkSignature(signature, encoded);
    }
    return payload;
}
