import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sshpk from 'sshpk';
import type { KeyKind } from './signing.js';

/** A key pair for Manta: the private half in a file, as a server is told of it. */
export interface MantaKey {
    /** File with the private key. */
    readonly file: string;
    /** MD5 form, as Manta names keys. */
    readonly fingerprint: string;
    /** SHA-256 form. */
    readonly sha256: string;
    /** The public half as a line of a key file. */
    readonly publicLine: string;
}

function generate(kind: KeyKind): sshpk.PrivateKey {
    if (kind === 'ecdsa') return sshpk.generatePrivateKey('ecdsa');
    if (kind === 'ed25519') return sshpk.generatePrivateKey('ed25519');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return sshpk.parsePrivateKey(privateKey.export({ type: 'pkcs1', format: 'pem' }), 'pem');
}

/** Makes a key pair in a directory. */
export function makeMantaKey(directory: string, kind: KeyKind = 'rsa'): MantaKey {
    const key = generate(kind);
    const file = join(directory, `manta-${kind}.key`);
    // Ed25519 keys have no older form.
    writeFileSync(file, key.toString(kind === 'ed25519' ? 'openssh' : 'pkcs1'), { mode: 0o600 });
    const open = key.toPublic();
    return {
        file,
        fingerprint: open.fingerprint('md5').toString('hex'),
        sha256: open.fingerprint('sha256').toString(),
        publicLine: open.toString('ssh'),
    };
}
