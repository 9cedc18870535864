import { readFile } from 'node:fs/promises';
import sshpk from 'sshpk';
import type { MantaConfig } from '../../base/config-types.js';

/**
 * Reads the private key and makes sure that it is the one `keyId` names, in its MD5 (with or without
 * `MD5:`) or SHA256 form (backends 8).
 *
 * @returns the key's text
 * @throws Error saying what is wrong with which setting, for the start to fail with
 */
export async function readMantaKey({ key, keyId }: Pick<MantaConfig, 'key' | 'keyId'>): Promise<string> {
    const text = await readFile(key, 'utf8').catch((cause: unknown) => {
        throw new Error(`config.manta.key cannot be read: ${key}`, { cause });
    });
    const parsed = orThrow(
        () => sshpk.parsePrivateKey(text, 'auto'),
        `config.manta.key is no private key: ${key}`,
    );
    const fingerprint = orThrow(
        () => sshpk.parseFingerprint(keyId),
        `config.manta.keyId is no fingerprint: ${keyId}`,
    );
    if (!fingerprint.matches(parsed)) {
        throw new Error(`config.manta.keyId is not the fingerprint of ${key}`);
    }
    return text;
}

function orThrow<T>(parse: () => T, message: string): T {
    try {
        return parse();
    } catch (cause) {
        throw new Error(message, { cause });
    }
}
