/** How one signature algorithm is made up. */
export interface Algorithm {
    /** Type a registered key must have. */
    readonly keyType: 'rsa' | 'dsa' | 'ecdsa' | 'ed25519';
    readonly hash: 'sha1' | 'sha256' | 'sha384' | 'sha512';
}

/** Algorithms a request may be signed with (http-api 1.11, D19); keys are lower case. */
export const ALLOWED_ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
    ['rsa-sha1', { keyType: 'rsa', hash: 'sha1' }],
    ['rsa-sha256', { keyType: 'rsa', hash: 'sha256' }],
    ['rsa-sha512', { keyType: 'rsa', hash: 'sha512' }],
    ['dsa-sha1', { keyType: 'dsa', hash: 'sha1' }],
    ['ecdsa-sha256', { keyType: 'ecdsa', hash: 'sha256' }],
    ['ecdsa-sha384', { keyType: 'ecdsa', hash: 'sha384' }],
    ['ecdsa-sha512', { keyType: 'ecdsa', hash: 'sha512' }],
    ['ed25519-sha512', { keyType: 'ed25519', hash: 'sha512' }],
]);

const KNOWN_FAMILIES = ['hmac', 'rsa', 'dsa', 'ecdsa', 'ed25519'];
const KNOWN_HASHES = ['sha1', 'sha256', 'sha512'];

/**
 * Names that exist, allowed or not: a known name that is not allowed (HMAC above all, whose "key"
 * would be public) is refused later and with another text than an unknown one.
 */
export const KNOWN_ALGORITHMS: ReadonlySet<string> = new Set([
    ...KNOWN_FAMILIES.flatMap((family) => KNOWN_HASHES.map((hash) => `${family}-${hash}`)),
    ...ALLOWED_ALGORITHMS.keys(),
]);
