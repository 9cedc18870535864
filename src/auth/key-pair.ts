import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import sshpk from 'sshpk';
import { systemErrorCode } from '../base/errors.js';

/** A key pair as services want it: texts, and what the public half is called by. */
export interface KeyPair {
    /** PEM, without passphrase and without an end of line at its end. */
    readonly privateKey: string;
    /** A line of an SSH key file: kind, key, comment. */
    readonly publicKey: string;
    /** `SHA256:...`, as `ssh-keygen -l` prints it. */
    readonly fingerprint: string;
}

/** Kinds of keys that Manta's client signs with. */
const SIGNING_KINDS: ReadonlySet<string> = new Set(['rsa', 'ecdsa', 'ed25519']);

function textOf(key: sshpk.Key, comment: string): string {
    return `${key.toString('ssh').trim().split(' ').slice(0, 2).join(' ')} ${comment}`;
}

/** The name of a public key as `ssh-keygen -l` prints it. */
export function fingerprintOf(key: sshpk.Key | sshpk.PrivateKey): string {
    return key.fingerprint('sha256').toString();
}

/**
 * Makes an ECDSA key on P-256 (operations 3.1, 3.2). It exists in memory alone.
 *
 * @param comment what the public half is named
 */
export function makeKeyPair(comment: string): KeyPair {
    const { privateKey } = generateKeyPairSync('ec', {
        namedCurve: 'prime256v1',
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'sec1', format: 'pem' },
    });
    const open = sshpk.parsePrivateKey(privateKey, 'pem').toPublic();
    return {
        privateKey: privateKey.trimEnd(),
        publicKey: textOf(open, comment),
        fingerprint: fingerprintOf(open),
    };
}

function parsePrivate(text: string, name: string): sshpk.PrivateKey {
    let key: sshpk.PrivateKey;
    try {
        key = sshpk.parsePrivateKey(text, 'auto');
    } catch (cause) {
        const problem =
            cause instanceof sshpk.KeyEncryptedError
                ? 'is protected by a passphrase, which a server cannot give'
                : 'is no private key';
        throw new Error(`${name} ${problem}`, { cause });
    }
    if (!SIGNING_KINDS.has(key.type)) {
        throw new Error(`${name} is of a kind that cannot be used, ${key.type}`);
    }
    return key;
}

function parsePublic(line: string, name: string): sshpk.Key {
    try {
        return sshpk.parseKey(line, 'ssh');
    } catch (cause) {
        throw new Error(`${name} is no public key as of an SSH key file`, { cause });
    }
}

/**
 * A key pair out of its two texts.
 *
 * @param names what to call them in errors
 * @throws Error when one is none, or they do not belong together
 */
export function keyPairOf(
    texts: { readonly privateKey: string; readonly publicKey: string },
    names: { readonly privateKey: string; readonly publicKey: string },
): KeyPair {
    const privateKey = texts.privateKey.trimEnd();
    const publicKey = texts.publicKey.trim();
    const fingerprint = fingerprintOf(parsePrivate(privateKey, names.privateKey));
    if (fingerprintOf(parsePublic(publicKey, names.publicKey)) !== fingerprint) {
        throw new Error(`${names.publicKey} does not belong to ${names.privateKey}`);
    }
    return { privateKey, publicKey, fingerprint };
}

/** Whether a text is a fingerprint of a public key, whichever its form: `SHA256:...`, or MD5 with or without `MD5:`. */
export function isFingerprintOf(text: string, publicKey: string): boolean {
    try {
        return sshpk.parseFingerprint(text, { hashType: 'ssh' }).matches(sshpk.parseKey(publicKey, 'ssh'));
    } catch {
        return false;
    }
}

async function read(path: string): Promise<string> {
    try {
        return await readFile(path, 'utf8');
    } catch (cause) {
        throw new Error(`cannot read ${path} (${systemErrorCode(cause)})`, { cause });
    }
}

/**
 * Reads a private key, and its public half from the file `.pub` beside it.
 *
 * @throws Error that names the file that is not as it must be
 */
export async function readKeyPair(path: string): Promise<KeyPair> {
    const names = { privateKey: path, publicKey: `${path}.pub` };
    // In this order: of two that are missing, the private key is the one to be told of.
    const privateKey = await read(names.privateKey);
    return keyPairOf({ privateKey, publicKey: await read(names.publicKey) }, names);
}
