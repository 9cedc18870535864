import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** How documents are signed, and with what keys. */
const ALGORITHMS = {
    ES256: { hash: 'sha256', curve: 'P-256' },
    ES384: { hash: 'sha384', curve: 'P-384' },
    ES512: { hash: 'sha512', curve: 'P-521' },
    RS256: { hash: 'sha256' },
    RS384: { hash: 'sha384' },
    RS512: { hash: 'sha512' },
} as const satisfies Record<string, { readonly hash: string; readonly curve?: string }>;

export type SigningAlgorithm = keyof typeof ALGORITHMS;

/** A key that signs, and its public half as it goes into the signature. */
export interface SigningKey {
    readonly algorithm: SigningAlgorithm;
    readonly privateKey: KeyObject;
    readonly jwk: Readonly<Record<string, unknown>>;
}

/** A signature as it stands in a document. */
export interface DocumentSignature {
    readonly header: Readonly<Record<string, unknown>>;
    readonly signature: string;
    readonly protected: string;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function base32(bytes: Buffer): string {
    const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    return bits.replace(/.{5}/g, (five) => BASE32[parseInt(five, 2)] ?? '');
}

/** As Docker names keys: half of their hash, in groups of four. */
function keyId(publicKey: KeyObject): string {
    const der = publicKey.export({ type: 'spki', format: 'der' });
    return base32(createHash('sha256').update(der).digest().subarray(0, 30)).replace(/.{4}(?=.)/g, '$&:');
}

/** @param bits of RSA keys */
export function makeKey(algorithm: SigningAlgorithm, bits = 2048): SigningKey {
    const facts = ALGORITHMS[algorithm];
    const { privateKey, publicKey } =
        'curve' in facts
            ? generateKeyPairSync('ec', { namedCurve: facts.curve })
            : generateKeyPairSync('rsa', { modulusLength: bits });
    return { algorithm, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid: keyId(publicKey) } };
}

export function prettyJson(value: unknown): string {
    return JSON.stringify(value, null, 3);
}

function base64url(text: string): string {
    return Buffer.from(text).toString('base64url');
}

const TAIL = '\n}';

/** What signatures say of what they sign. */
export function signedPart(payload: string, time: string): Readonly<Record<string, unknown>> {
    return { formatLength: Buffer.byteLength(payload) - TAIL.length, formatTail: base64url(TAIL), time };
}

export function makeSignature(
    payload: string,
    { algorithm, privateKey, jwk }: SigningKey,
    part: Readonly<Record<string, unknown>>,
): DocumentSignature {
    const head = base64url(JSON.stringify(part));
    const text = Buffer.from(`${head}.${base64url(payload)}`);
    const { hash } = ALGORITHMS[algorithm];
    const signature = sign(hash, text, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    return { header: { jwk, alg: algorithm }, signature: signature.toString('base64url'), protected: head };
}

/** Puts signatures into a text of {@link prettyJson} as Docker does, right before its last brace. */
export function withSignatures(payload: string, signatures: readonly unknown[]): string {
    const block = prettyJson(signatures).replaceAll('\n', '\n   ');
    return `${payload.slice(0, -TAIL.length)},\n   "signatures": ${block}${TAIL}`;
}
