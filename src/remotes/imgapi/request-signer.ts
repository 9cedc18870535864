import { readFile } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import httpSignature from 'http-signature';
import sshpk from 'sshpk';

/** Who signs, and with what. */
export interface SignerOptions {
    /** Name the server knows the key by: the name of its key file. */
    readonly user: string;
    /** File with the private key: PEM, PKCS#8 or OpenSSH; RSA, ECDSA, Ed25519 or DSA; without passphrase. */
    readonly keyPath: string;
}

/** The two methods of a request that the library calls, on headers of our own. */
function requestWith(headers: Record<string, string>): ClientRequest {
    const request = {
        getHeader: (name: string) => headers[name.toLowerCase()],
        setHeader: (name: string, value: string) => {
            headers[name.toLowerCase()] = value;
        },
    };
    return request as unknown as ClientRequest;
}

async function readKey(path: string): Promise<sshpk.PrivateKey> {
    const text = await readFile(path);
    try {
        return sshpk.parsePrivateKey(text, 'auto', { filename: path });
    } catch (cause) {
        const reason =
            cause instanceof Error && cause.name === 'KeyEncryptedError'
                ? 'is protected by a passphrase'
                : 'is not a private key';
        throw new Error(`${path} ${reason}`, { cause });
    }
}

/** The library picks one for the key, but it knows no `ecdsa-sha384`, which it would pick for P-384. */
function algorithmFor(key: sshpk.PrivateKey): { readonly algorithm?: string } {
    return key.defaultHashAlgorithm() === 'sha384' ? { algorithm: `${key.type}-sha512` } : {};
}

/** Signs requests to an image server that has `authType: signature` (http-api 1.11). */
export class RequestSigner {
    readonly #user: string;
    readonly #key: sshpk.PrivateKey;

    private constructor(user: string, key: sshpk.PrivateKey) {
        this.#user = user;
        this.#key = key;
    }

    /** Reads the key. @throws Error with a message for the operator */
    static async create({ user, keyPath }: SignerOptions): Promise<RequestSigner> {
        return new RequestSigner(user, await readKey(keyPath));
    }

    /** Headers that make a request one of this user's. Good for 300 s, so for one request only. */
    headers(now = new Date()): Readonly<Record<string, string>> {
        const headers: Record<string, string> = { date: now.toUTCString() };
        httpSignature.signRequest(requestWith(headers), {
            keyId: this.#user,
            // The types know keys as text only.
            key: this.#key as unknown as string,
            ...algorithmFor(this.#key),
        });
        return headers;
    }
}
