import { createPublicKey, type KeyObject } from 'node:crypto';
import type Logger from 'bunyan';
import sshpk from 'sshpk';

/** A registered key, parsed. */
export interface PublicKey {
    /** `rsa`, `dsa`, `ecdsa` or `ed25519`. */
    readonly type: string;
    readonly key: sshpk.Key;
    /** Node's form of an Ed25519 key. */
    readonly native: KeyObject | undefined;
}

/** Most lines whose parsed form is kept. */
const MAX_CACHED_LINES = 10_000;

/** Node's form of an Ed25519 key; by way of JWK, since sshpk's PKCS#8 form of these is outdated. */
function nativeKey(key: sshpk.Key): KeyObject | undefined {
    const point = key.type === 'ed25519' ? key.parts[0]?.data : undefined;
    return point === undefined
        ? undefined
        : createPublicKey({
              key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') },
              format: 'jwk',
          });
}

function parseLine(line: string): PublicKey {
    const key = sshpk.parseKey(line, 'ssh');
    return { type: key.type, key, native: nativeKey(key) };
}

/** Parses each SSH public key line once. */
export class PublicKeyCache {
    readonly #parsed = new Map<string, PublicKey | undefined>();
    readonly #log: Logger;

    constructor(log: Logger) {
        this.#log = log;
    }

    /** The key of a line; `undefined`, with one warning, when the line is not a key (backends 12). */
    get(user: string, line: string): PublicKey | undefined {
        if (this.#parsed.has(line)) {
            return this.#parsed.get(line);
        }
        if (this.#parsed.size >= MAX_CACHED_LINES) {
            this.#parsed.clear();
        }
        let key: PublicKey | undefined;
        try {
            key = parseLine(line);
        } catch (err) {
            this.#log.warn({ err, user, line: line.slice(0, 40) }, 'public key cannot be parsed, skipped');
        }
        this.#parsed.set(line, key);
        return key;
    }
}
