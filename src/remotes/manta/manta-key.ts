import { readFile } from 'node:fs/promises';
import sshpk from 'sshpk';
import type { MantaConfig } from '../../base/config-types.js';
import { systemErrorCode } from '../../base/errors.js';

/** Kinds of keys that the client signs with. */
const KINDS: ReadonlySet<string> = new Set(['rsa', 'ecdsa', 'ed25519']);

/**
 * Reads the private key and makes sure that it is the one `keyId` names, in its MD5 (with or without
 * `MD5:`) or SHA256 form (backends 8).
 *
 * @returns the key's text
 * @throws Error saying what is wrong with which setting, for the start to fail with
 */
export async function readMantaKey({ key, keyId }: Pick<MantaConfig, 'key' | 'keyId'>): Promise<string> {
    const text = await readFile(key, 'utf8').catch((cause: unknown) => {
        throw new Error(`config.manta.key cannot be read: ${key} (${systemErrorCode(cause)})`, { cause });
    });
    const parsed = parseKey(text, key);
    if (!KINDS.has(parsed.type)) {
        throw new Error(`config.manta.key is of a kind that cannot be used, ${parsed.type}: ${key}`);
    }
    const fingerprint = parseFingerprint(keyId);
    if (!fingerprint.matches(parsed)) {
        const actual = parsed.fingerprint('md5').toString('hex');
        throw new Error(`config.manta.keyId, ${keyId}, is not the fingerprint of ${key}, ${actual}`);
    }
    return text;
}

/** The client picks an algorithm for the key, but it knows no `ecdsa-sha384`, which it would pick for P-384. */
export function algorithmFor(key: string): { readonly algorithm?: string } {
    const { type, curve } = sshpk.parsePrivateKey(key, 'auto');
    return type === 'ecdsa' && curve === 'nistp384' ? { algorithm: 'ecdsa-sha512' } : {};
}

function parseKey(text: string, path: string): sshpk.PrivateKey {
    try {
        return sshpk.parsePrivateKey(text, 'auto');
    } catch (cause) {
        throw new Error(
            cause instanceof sshpk.KeyEncryptedError
                ? `config.manta.key is protected by a passphrase, which cannot be given: ${path}`
                : `config.manta.key is no private key: ${path}`,
            { cause },
        );
    }
}

function parseFingerprint(keyId: string): sshpk.Fingerprint {
    try {
        // The usual kind of fingerprint also where it has no colons.
        return sshpk.parseFingerprint(keyId, { hashType: 'ssh' });
    } catch (cause) {
        throw new Error(`config.manta.keyId is no fingerprint: ${keyId}`, { cause });
    }
}
