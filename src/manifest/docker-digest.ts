import { createHash } from 'node:crypto';

const DIGEST_RE = /^sha256:[^:]{64}$/;
const FINGERPRINT_RE = /^[0-9a-f]{32,}$/;

function uuidFromHex(hex: string): string {
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
        '-',
    );
}

/**
 * The uuid of the Docker image made of these layers, base layer first. Every server computes the same
 * one (manifest 11).
 *
 * @throws Error if a digest is not `sha256:` and 64 characters
 */
export function uuidFromDockerDigests(digests: readonly string[]): string {
    const bad = digests.filter((digest) => !DIGEST_RE.test(digest));
    if (bad.length > 0) {
        throw new Error(`docker digests should be of the form "sha256:xxx", got: ${bad.join(',')}`);
    }
    return uuidFromHex(createHash('sha256').update(digests.join(' ')).digest('hex'));
}

/**
 * The uuid of the LXD image with this fingerprint, its first 32 hex digits (manifest 11).
 *
 * @throws Error if the fingerprint is not a hex text of at least 32 digits
 */
export function uuidFromLxdFingerprint(fingerprint: string): string {
    if (!FINGERPRINT_RE.test(fingerprint)) {
        throw new Error(`LXD fingerprint is not a hex text of at least 32 digits: ${fingerprint}`);
    }
    return uuidFromHex(fingerprint);
}
