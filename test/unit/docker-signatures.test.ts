import t, { type Test } from 'tap';
import { verifySignatures } from '#lib/manifest/docker/signed-document.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import {
    type DocumentSignature,
    makeKey,
    makeSignature,
    prettyJson,
    signedPart,
    type SigningAlgorithm,
    type SigningKey,
    withSignatures,
} from '../helpers/signed-document.js';

const TIME = '2016-01-02T03:04:05Z';
const PAYLOAD = prettyJson({ name: 'a/b', words: ['é', '<&>'] });
const PART = signedPart(PAYLOAD, TIME);
const KEY = makeKey('ES256');
/** Keys of RSA take long to make and do for all its algorithms. */
const RSA = makeKey('RS256');
const OTHER_RSA = makeKey('RS256');

const base64url = (value: JsonValue): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function verified(text: string): string {
    const { signatures } = JSON.parse(text) as JsonObject;
    return verifySignatures(Buffer.from(text), signatures).toString();
}

function signed(...keys: readonly SigningKey[]): string {
    return withSignatures(
        PAYLOAD,
        keys.map((key) => makeSignature(PAYLOAD, key, PART)),
    );
}

function keysOf(algorithm: SigningAlgorithm): readonly [SigningKey, SigningKey] {
    return algorithm.startsWith('RS')
        ? [
              { ...RSA, algorithm },
              { ...OTHER_RSA, algorithm },
          ]
        : [makeKey(algorithm), makeKey(algorithm)];
}

void t.test('keys and algorithms', async (t) => {
    const message = 'it does not verify';
    for (const algorithm of ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512'] as const) {
        const [key, other] = keysOf(algorithm);
        t.equal(verified(signed(key)), PAYLOAD, algorithm);
        t.equal(verified(signed(KEY, key)), PAYLOAD, 'two signatures');
        const forged = { ...key, jwk: other.jwk };
        t.throws(() => verified(signed(forged)), { message });
        t.throws(() => verified(signed(KEY, forged)), { message }, 'every signature counts');
        t.throws(() => verified(signed(forged, KEY)), { message });
        const changed = signed(key).replace('a/b', 'a/c');
        t.throws(() => verified(changed), { message }, 'other content');
    }
});

/** The document with its only signature changed. */
function altered(change: (signature: DocumentSignature) => unknown): string {
    return withSignatures(PAYLOAD, [change(makeSignature(PAYLOAD, KEY, PART))]);
}

/** The document with something else said of what is signed. */
function withPart(change: Readonly<Record<string, unknown>>): string {
    return withSignatures(PAYLOAD, [makeSignature(PAYLOAD, KEY, { ...PART, ...change })]);
}

/** The document with something else said of how it is signed. */
function withHeader(change: Readonly<Record<string, unknown>>): string {
    return altered((signature) => ({ ...signature, header: { ...signature.header, ...change } }));
}

function refuses(t: Test, rows: readonly (readonly [string, string | RegExp])[]): void {
    for (const [text, message] of rows) {
        t.throws(() => verified(text), { message }, String(message));
    }
}

void t.test('keys that are none', async (t) => {
    const { jwk } = KEY;
    const incomplete = 'its key is incomplete';
    const wrong = 'its key is none';
    const rsa = 'its algorithm needs a key of type RSA';
    const curve = 'its algorithm needs a key on another curve';
    refuses(t, [
        [withHeader({ alg: 'none' }), 'algorithm "none" is not supported'],
        [withHeader({ alg: 'HS256' }), 'algorithm "HS256" is not supported'],
        [withHeader({ alg: 'PS256' }), 'algorithm "PS256" is not supported'],
        [withHeader({ alg: undefined }), 'algorithm "none" is not supported'],
        [withHeader({ alg: 'constructor' }), 'algorithm "constructor" is not supported'],
        [withHeader({ alg: 'RS256' }), rsa],
        [withHeader({ alg: 'RS256', jwk: { ...jwk, kty: 'RSA', n: '*', e: 'AQAB' } }), /^its key has 0 bits/],
        [withHeader({ alg: 'RS256', jwk: { ...RSA.jwk, e: 5 } }), incomplete],
        [withHeader({ alg: 'ES384' }), curve],
        [withHeader({ jwk: RSA.jwk }), 'its algorithm needs a key of type EC'],
        [withHeader({ jwk: makeKey('ES512').jwk }), curve],
        [withHeader({ x5c: ['AAAA'] }), 'certificate chains are not supported'],
        [withHeader({ jwk: undefined }), 'it has no key'],
        [withHeader({ jwk: { ...jwk, x: undefined } }), incomplete],
        [withHeader({ jwk: { ...jwk, x: 'A'.repeat(1367) } }), incomplete],
        [withHeader({ jwk: { ...jwk, x: 'AAAA' } }), wrong],
        [withHeader({ jwk: { ...jwk, crv: 'P-999' } }), wrong],
        [withHeader({ jwk: { ...jwk, kty: 'oct', k: 'AAAA' } }), 'its algorithm needs a key of type EC'],
        [signed(makeKey('RS256', 1024)), 'its key has 1024 bits (2048 to 8192 are supported)'],
    ]);
});

void t.test('signatures that are none', async (t) => {
    const one = makeSignature(PAYLOAD, KEY, PART);
    refuses(t, [
        [PAYLOAD, 'there are no signatures'],
        [withSignatures(PAYLOAD, []), 'there are no signatures'],
        [
            withSignatures(
                PAYLOAD,
                Array.from({ length: 17 }, () => one),
            ),
            'there are 17 signatures (max 16)',
        ],
        [altered(() => null), 'it has no header'],
        [altered((signature) => ({ ...signature, header: 'x' })), 'it has no header'],
        [altered((signature) => ({ ...signature, signature: undefined })), 'the signature is not base64url'],
        [altered((signature) => ({ ...signature, signature: 'a b' })), 'the signature is not base64url'],
        [altered((signature) => ({ ...signature, signature: 'AAAA' })), 'it does not verify'],
        [
            altered((signature) => ({ ...signature, protected: undefined })),
            'the protected header is not base64url',
        ],
        [altered((signature) => ({ ...signature, protected: 'AAAA' })), /JSON/],
        [altered((signature) => ({ ...signature, protected: base64url([]) })), 'not an object'],
    ]);
});

void t.test('parts that are none', async (t) => {
    const one = makeSignature(PAYLOAD, KEY, PART);
    const other = makeSignature(PAYLOAD, KEY, { ...PART, formatTail: 'Cn0x' });
    refuses(t, [
        [withPart({ formatLength: undefined }), 'formatLength is no length'],
        [withPart({ formatLength: -1 }), 'formatLength is no length'],
        [withPart({ formatLength: 1.5 }), 'formatLength is no length'],
        [withPart({ formatLength: '5' }), 'formatLength is no length'],
        [withPart({ formatLength: 1e15 }), 'formatLength is more than there is'],
        [withPart({ formatLength: 5 }), 'it does not verify'],
        [withPart({ formatTail: undefined }), 'formatTail is not base64url'],
        [withPart({ formatTail: 'Cn0x' }), 'it does not verify'],
        [withSignatures(PAYLOAD, [one, other]), 'signatures cover different parts'],
    ]);
    t.equal(verified(withPart({})), PAYLOAD);
});
