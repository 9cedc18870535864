import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { isSettings } from '../../../base/config-rules.js';

/** A file below `etc`. */
export interface EtcFile {
    readonly path: string;
    readonly mode: number;
    readonly mtimeMs: number;
    readonly bytes: Buffer;
}

/*
 * The format, for those who need it without this program: a line of JSON that says how the key is made,
 * then the AES-256-GCM ciphertext, its last 16 bytes the tag; the line, with its line feed, is authenticated
 * with it. The plaintext is JSON: {"files":[{"path","mode","mtimeMs","data":<base64>}]}.
 */
const FORMAT = 'imgapi-etc';
const CIPHER = 'aes-256-gcm';
const KEY_SIZE = 32;
const TAG_SIZE = 16;
const SALT_SIZE = 16;
const IV_SIZE = 12;
/** Cost of a guess: about 100 ms and 64 MiB. */
const COST = { N: 65_536, r: 8, p: 1 } as const;
/** A file that asks for more is not ours. */
const MAX_MEMORY = 268_435_456;
const MAX_HEADER = 1024;

type Cost = { readonly N: number; readonly r: number; readonly p: number };

const derive = promisify<string, Buffer, number, Cost & { readonly maxmem: number }, Buffer>(scrypt);

function keyOf(passphrase: string, salt: Buffer, { N, r, p }: Cost): Promise<Buffer> {
    return derive(passphrase.normalize('NFC'), salt, KEY_SIZE, { N, r, p, maxmem: MAX_MEMORY });
}

/** Encrypts files with a passphrase. */
export async function seal(files: readonly EtcFile[], passphrase: string): Promise<Buffer> {
    const salt = randomBytes(SALT_SIZE);
    const iv = randomBytes(IV_SIZE);
    const facts = {
        format: FORMAT,
        version: 1,
        kdf: 'scrypt',
        ...COST,
        salt: salt.toString('base64'),
        cipher: CIPHER,
        iv: iv.toString('base64'),
    };
    const header = Buffer.from(`${JSON.stringify(facts)}\n`);
    const cipher = createCipheriv(CIPHER, await keyOf(passphrase, salt, COST), iv).setAAD(header);
    const listed = files.map(({ path, mode, mtimeMs, bytes }) => ({
        path,
        mode,
        mtimeMs,
        data: bytes.toString('base64'),
    }));
    const text = Buffer.from(JSON.stringify({ files: listed }));
    return Buffer.concat([header, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

interface Header extends Cost {
    readonly salt: Buffer;
    readonly iv: Buffer;
    readonly length: number;
}

function parseHeader(sealed: Buffer): Header | undefined {
    const end = sealed.subarray(0, MAX_HEADER).indexOf('\n');
    try {
        const facts: unknown = JSON.parse(sealed.subarray(0, Math.max(0, end)).toString());
        if (!isSettings(facts) || facts['format'] !== FORMAT || facts['version'] !== 1) {
            return undefined;
        }
        const { N, r, p, salt, iv } = facts;
        return {
            N: Number(N),
            r: Number(r),
            p: Number(p),
            salt: Buffer.from(String(salt), 'base64'),
            iv: Buffer.from(String(iv), 'base64'),
            length: end + 1,
        };
    } catch {
        return undefined;
    }
}

/** A path that stays below the directory it is taken relative to. */
export function isInside(path: string): boolean {
    return (
        path !== '' &&
        path.split('/').every((part) => !['', '.', '..'].includes(part)) &&
        !path.includes('\0')
    );
}

function parseFiles(text: string): readonly EtcFile[] {
    const value = JSON.parse(text) as {
        readonly files: readonly (Omit<EtcFile, 'bytes'> & { readonly data: string })[];
    };
    return value.files
        .filter(({ path }) => isInside(path))
        .map(({ path, mode, mtimeMs, data }) => ({
            path,
            mode,
            mtimeMs,
            bytes: Buffer.from(data, 'base64'),
        }));
}

/** Decrypts what {@link seal} has made. @throws Error when it is none, or the passphrase is another */
export async function unseal(sealed: Buffer, passphrase: string): Promise<readonly EtcFile[]> {
    const header = parseHeader(sealed);
    if (header === undefined || sealed.length < header.length + TAG_SIZE) {
        throw new Error('it is no encrypted backup of etc');
    }
    const key = await keyOf(passphrase, header.salt, header);
    try {
        const decipher = createDecipheriv(CIPHER, key, header.iv)
            .setAAD(sealed.subarray(0, header.length))
            .setAuthTag(sealed.subarray(-TAG_SIZE));
        const text = [decipher.update(sealed.subarray(header.length, -TAG_SIZE)), decipher.final()];
        return parseFiles(Buffer.concat(text).toString());
    } catch (cause) {
        throw new Error('it cannot be decrypted: another passphrase, or damaged', { cause });
    }
}
