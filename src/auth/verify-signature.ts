import { verify } from 'node:crypto';
import httpSignature from 'http-signature';
import type { Algorithm } from './algorithms.js';
import type { PublicKey } from './public-keys.js';
import type { SignatureParameters } from './signature-parameters.js';

function verifyWith(
    parameters: SignatureParameters,
    algorithm: Algorithm,
    { key, native }: PublicKey,
): boolean {
    const { signature } = parameters.parsed.params as { signature: string };
    if (native !== undefined) {
        // The library's own Ed25519 is plain JavaScript and holds the event loop for milliseconds.
        const signed = Buffer.from(parameters.signingString, 'latin1');
        return verify(null, signed, native, Buffer.from(signature, 'base64'));
    }
    if (algorithm.hash === 'sha384') {
        const verifier = key.createVerify('sha384');
        verifier.update(parameters.signingString);
        return verifier.verify(signature, 'base64');
    }
    // The declared type is a key as text; a parsed one is accepted and saves parsing.
    return httpSignature.verifySignature(parameters.parsed, key as unknown as string);
}

/**
 * Tells whether `key` made the signature. A key of another type than the algorithm's never did, and
 * a signature that is not even well-formed is just a wrong one (http-api 1.11).
 */
export function isSignedBy(parameters: SignatureParameters, algorithm: Algorithm, key: PublicKey): boolean {
    if (key.type !== algorithm.keyType) {
        return false;
    }
    try {
        return verifyWith(parameters, algorithm, key);
    } catch {
        return false;
    }
}
