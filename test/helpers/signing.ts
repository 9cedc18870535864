import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** Kinds of keys a user may sign with. */
export type KeyKind = 'rsa' | 'ecdsa' | 'ed25519';

/** A user's key pair for HTTP signatures (http-api 1.11). */
export interface SigningKey {
    readonly user: string;
    readonly algorithm: string;
    /** The public half as one line of a key file. */
    readonly publicLine: string;
    /** Base64 signature of a text; `hash` replaces the hash of {@link SigningKey.algorithm}. */
    sign(text: string, hash?: string): string;
}

const ALGORITHMS: Readonly<Record<KeyKind, string>> = {
    rsa: 'rsa-sha256',
    ecdsa: 'ecdsa-sha256',
    ed25519: 'ed25519-sha512',
};

function generate(kind: KeyKind): { publicKey: KeyObject; privateKey: KeyObject } {
    if (kind === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 });
    if (kind === 'ecdsa') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return generateKeyPairSync('ed25519');
}

function field(bytes: Buffer | string): Buffer {
    const data = Buffer.from(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, data]);
}

/** A non-negative integer of the SSH wire format: a zero byte goes before a set top bit. */
function integer(base64url: string | undefined): Buffer {
    const data = Buffer.from(base64url ?? '', 'base64url');
    return field((data[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), data]) : data);
}

function sshLine(kind: KeyKind, key: KeyObject): string {
    const jwk = key.export({ format: 'jwk' });
    const raw = (part: string | undefined): Buffer => Buffer.from(part ?? '', 'base64url');
    const lines = {
        rsa: (): [string, Buffer[]] => ['ssh-rsa', [integer(jwk.e), integer(jwk.n)]],
        ecdsa: (): [string, Buffer[]] => [
            'ecdsa-sha2-nistp256',
            [field('nistp256'), field(Buffer.concat([Buffer.from([4]), raw(jwk.x), raw(jwk.y)]))],
        ],
        ed25519: (): [string, Buffer[]] => ['ssh-ed25519', [field(raw(jwk.x))]],
    };
    const [name, fields] = lines[kind]();
    return `${name} ${Buffer.concat([field(name), ...fields]).toString('base64')} test@example.com`;
}

/** A fresh key pair for a user. */
export function createKey(user: string, kind: KeyKind = 'rsa'): SigningKey {
    const { publicKey, privateKey } = generate(kind);
    return {
        user,
        algorithm: ALGORITHMS[kind],
        publicLine: sshLine(kind, publicKey),
        sign: (text, hash = 'sha256') =>
            sign(kind === 'ed25519' ? null : hash, Buffer.from(text), privateKey).toString('base64'),
    };
}

/** Headers of a request signed by a key the way the client library does: only `date` is signed. */
export function signatureHeaders(key: SigningKey, date = new Date()): Record<string, string> {
    const text = date.toUTCString();
    const signature = key.sign(`date: ${text}`);
    return {
        date: text,
        authorization: `Signature keyId="${key.user}",algorithm="${key.algorithm}",signature="${signature}"`,
    };
}
