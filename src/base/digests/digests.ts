import { createHash } from 'node:crypto';

/** The digests of a file in the forms records keep them. */
export interface Digests {
    /** Hex. */
    readonly sha1: string;
    /** Base64, as in `Content-MD5`. */
    readonly md5: string;
    /** Hex. */
    readonly sha256: string;
}

/** Names as `node:crypto` knows them. */
export type DigestName = keyof Digests;

/** How each digest is written down. */
export const DIGEST_ENCODINGS = { sha1: 'hex', md5: 'base64', sha256: 'hex' } as const satisfies Record<
    DigestName,
    'hex' | 'base64'
>;

/** Digests one or more running hashes over the same bytes. */
export class Hashes {
    readonly #hashes: readonly { readonly name: DigestName; readonly hash: ReturnType<typeof createHash> }[];

    constructor(names: readonly DigestName[]) {
        this.#hashes = names.map((name) => ({ name, hash: createHash(name) }));
    }

    update(bytes: Uint8Array): void {
        for (const { hash } of this.#hashes) {
            hash.update(bytes);
        }
    }

    /** Ends the hashes; no `update` may follow. */
    end(): Partial<Digests> {
        return Object.fromEntries(
            this.#hashes.map(({ name, hash }) => [name, hash.digest(DIGEST_ENCODINGS[name])]),
        );
    }
}

/** All digests of bytes at hand, on this thread: a quarter of a MiB takes about a millisecond. */
export function digestsOf(bytes: Uint8Array): Digests {
    const hashes = new Hashes(['sha1', 'md5', 'sha256']);
    hashes.update(bytes);
    return hashes.end() as Digests;
}
