import { sha256Digest, type MadeBytes } from '../../helpers/docker-images.js';
import { SCHEMA1_TYPE } from '../../helpers/docker-schema1.js';

/** A manifest that somebody has put there. */
export type StoredManifest = MadeBytes;

interface Repository {
    readonly blobs: Set<string>;
    readonly tags: Map<string, StoredManifest>;
    readonly manifests: Map<string, StoredManifest>;
}

/** Of schema 1, that of what is signed; of others, that of all bytes. */
export function digestOfManifest(bytes: Buffer, mediaType: string): string {
    if (mediaType !== SCHEMA1_TYPE) return sha256Digest(bytes);
    const { signatures } = JSON.parse(bytes.toString()) as {
        readonly signatures: readonly { readonly protected: string }[];
    };
    const head = Buffer.from(signatures[0]?.protected ?? '', 'base64url').toString();
    const { formatLength, formatTail } = JSON.parse(head) as {
        readonly formatLength: number;
        readonly formatTail: string;
    };
    return sha256Digest(
        Buffer.concat([bytes.subarray(0, formatLength), Buffer.from(formatTail, 'base64url')]),
    );
}

/** What a registry has, by repositories; bytes that several of them have are there once. */
export class Repositories {
    readonly #bytes = new Map<string, Buffer>();
    readonly #repositories = new Map<string, Repository>();

    /** Bytes of a blob, whoever has it. */
    bytes(digest: string): Buffer | undefined {
        return this.#bytes.get(digest);
    }

    blob(repository: string, digest: string): Buffer | undefined {
        const isThere = this.#repositories.get(repository)?.blobs.has(digest) === true;
        return isThere ? this.#bytes.get(digest) : undefined;
    }

    /** @param digest that of other bytes: nobody checks it here */
    putBlob(repository: string, bytes: Buffer, digest = sha256Digest(bytes)): void {
        this.#bytes.set(digest, bytes);
        this.#open(repository).blobs.add(digest);
    }

    /** @returns whether the other repository has it */
    mount(repository: string, digest: string, from: string): boolean {
        const bytes = this.blob(from, digest);
        if (bytes !== undefined) this.putBlob(repository, bytes, digest);
        return bytes !== undefined;
    }

    isThere(repository: string): boolean {
        return this.#repositories.has(repository);
    }

    /** @param reference a tag or a digest */
    manifest(repository: string, reference: string): StoredManifest | undefined {
        const found = this.#repositories.get(repository);
        return found?.tags.get(reference) ?? found?.manifests.get(reference);
    }

    putManifest(repository: string, reference: string, manifest: StoredManifest): void {
        const { tags, manifests } = this.#open(repository);
        if (!reference.startsWith('sha256:')) tags.set(reference, manifest);
        else manifests.set(reference, manifest);
        manifests.set(manifest.digest, manifest);
    }

    tags(repository: string): readonly string[] {
        return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].sort();
    }

    #open(name: string): Repository {
        const repository = this.#repositories.get(name) ?? {
            blobs: new Set(),
            tags: new Map<string, StoredManifest>(),
            manifests: new Map<string, StoredManifest>(),
        };
        this.#repositories.set(name, repository);
        return repository;
    }
}
