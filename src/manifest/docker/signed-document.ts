import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { isObject } from '../coerce.js';
import type { JsonObject, JsonValue } from '../types.js';
import { parseJsonObject } from './json-document.js';

/** How a signature is made with a kind of key (RFC 7518, 3.1). */
interface Algorithm {
    readonly hash: 'sha256' | 'sha384' | 'sha512';
    readonly keyType: 'ec' | 'rsa';
    /** Of EC keys, as Node names it. */
    readonly curve?: string;
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
    ['ES256', { hash: 'sha256', keyType: 'ec', curve: 'prime256v1' }],
    ['ES384', { hash: 'sha384', keyType: 'ec', curve: 'secp384r1' }],
    ['ES512', { hash: 'sha512', keyType: 'ec', curve: 'secp521r1' }],
    ['RS256', { hash: 'sha256', keyType: 'rsa' }],
    ['RS384', { hash: 'sha384', keyType: 'rsa' }],
    ['RS512', { hash: 'sha512', keyType: 'rsa' }],
]);

/** Most signatures of a document. */
const MAX_SIGNATURES = 16;
/** Lengths of RSA keys, bits: shorter ones prove nothing, longer ones take long. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
/** Longest number of a key, base64url: that of {@link MAX_RSA_BITS}. */
const MAX_KEY_NUMBER = 1366;

const BASE64URL_RE = /^[\w-]+$/;

/** A signature, and the text it is made of. */
interface Signature {
    readonly header: JsonObject;
    readonly signature: Buffer;
    /** Base64url, as it is signed. */
    readonly protectedText: string;
    readonly payload: Buffer;
}

function fromBase64url(value: unknown, what: string): Buffer {
    if (typeof value !== 'string' || !BASE64URL_RE.test(value)) {
        throw new Error(`${what} is not base64url`);
    }
    return Buffer.from(value, 'base64url');
}

/** What is signed: the first bytes of the document, and the end it had before signatures came into it. */
function payloadOf(document: Buffer, protectedHeader: JsonObject): Buffer {
    const { formatLength, formatTail } = protectedHeader;
    const isLength = Number.isSafeInteger(formatLength) && (formatLength as number) >= 0;
    if (!isLength || (formatLength as number) > document.length) {
        throw new Error('formatLength is not a length of it');
    }
    const tail = fromBase64url(formatTail, 'formatTail');
    return Buffer.concat([document.subarray(0, formatLength as number), tail]);
}

function readSignature(value: JsonValue, document: Buffer): Signature {
    if (!isObject(value) || !isObject(value['header'])) {
        throw new Error('it has no header');
    }
    const protectedBytes = fromBase64url(value['protected'], 'the protected header');
    return {
        header: value['header'],
        signature: fromBase64url(value['signature'], 'the signature'),
        protectedText: value['protected'] as string,
        payload: payloadOf(document, parseJsonObject(protectedBytes)),
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

/** The public key in a header, of the kind the algorithm needs; whatever else the header holds of it is left. */
function keyOf({ jwk }: JsonObject, { keyType, curve }: Algorithm): KeyObject {
    if (!isObject(jwk)) {
        throw new Error('it has no key');
    }
    const names = keyType === 'ec' ? ['kty', 'crv', 'x', 'y'] : ['kty', 'n', 'e'];
    const parts = names.map((name): [string, unknown] => [name, jwk[name]]);
    if (!parts.every(([, part]) => typeof part === 'string' && part.length <= MAX_KEY_NUMBER)) {
        throw new Error('its key is incomplete');
    }
    const key = createPublicKey({ key: Object.fromEntries(parts) as JsonWebKey, format: 'jwk' });
    const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType !== keyType || namedCurve !== curve) {
        throw new Error('its key is not of the kind its algorithm needs');
    }
    if (modulusLength !== undefined && (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)) {
        throw new Error(
            `its key has ${modulusLength} bits (${MIN_RSA_BITS} to ${MAX_RSA_BITS} are supported)`,
        );
    }
    return key;
}

function checkSignature({ header, signature, protectedText, payload }: Signature): void {
    const algorithm = algorithmOf(header);
    const key = keyOf(header, algorithm);
    const signed = Buffer.from(`${protectedText}.${payload.toString('base64url')}`);
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
    if (!Array.isArray(signatures) || signatures.length === 0) {
        throw new Error('there are no signatures');
    }
    if (signatures.length > MAX_SIGNATURES) {
        throw new Error(`there are ${signatures.length} signatures (max ${MAX_SIGNATURES})`);
    }
    const read = (signatures as readonly JsonValue[]).map((value) => readSignature(value, document));
    const payload = read[0]?.payload ?? Buffer.alloc(0);
    if (!read.every((signature) => signature.payload.equals(payload))) {
        throw new Error('signatures cover different parts');
    }
    for (const signature of read) {
        checkSignature(signature);
    }
    return payload;
}
