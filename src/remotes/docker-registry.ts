import type { Readable } from 'node:stream';
import type { AddressSupplier } from '../base/http-supplier.js';
import type { DockerRepository } from '../manifest/docker/repository.js';
import type { OpenedSourceFile, ResumePoint } from './image-source.js';

/** Who asks a registry (jobs-and-imports 5.1). */
export type RegistryCredentials =
    | { readonly username: string; readonly password: string }
    /** A refresh token of the registry's authorization server. */
    | { readonly identityToken: string };

/** What goes with every request to a registry. */
export interface RegistryRequest {
    readonly signal: AbortSignal;
}

/** A manifest, list or index as a registry has it. */
export interface RegistryManifest {
    /** As received: digests are computed from them. */
    readonly bytes: Buffer;
    /** Without parameters, in lower case. */
    readonly contentType?: string;
    /** Header `Docker-Content-Digest`. */
    readonly digest?: string;
}

/** Bytes to store in a repository. */
export interface BlobUpload {
    /** `sha256:<hex>`. */
    readonly digest: string;
    /** Bytes. */
    readonly size: number;
    readonly contentType: string;
    /** Gives the bytes from the first on; called again when they have to be sent again. */
    open(): Promise<Readable>;
    /** Told of bytes that have been handed to the connection. @param sent how many of them in all */
    readonly onSent?: (sent: number) => void;
    /** A repository of the same registry that may have them: they are taken from there where it offers that. */
    readonly mountFrom?: string;
}

/** How bytes came into a repository. */
export type BlobOutcome = 'uploaded' | 'mounted';

/**
 * One repository of a registry, over its HTTP protocol of version 2 (jobs-and-imports 5.2, 5.6). What is needed
 * of credentials and tokens is found out with the first request and remembered; a token that has expired is
 * replaced.
 *
 * All methods throw `OutgoingError`, of kind `status` with the registry's body when it refuses; nothing is tried
 * again but connections.
 */
export interface RegistryRepository {
    /** Finds out how the registry wants to be asked: 200 and 401 are fine. */
    ping(request: RegistryRequest): Promise<void>;
    /** @param reference a tag or a digest. A 401 counts as 404. */
    manifest(reference: string, request: RegistryRequest): Promise<RegistryManifest>;
    /**
     * A blob, whole or from a point on; a registry that cannot go on there gives all of it. Its tag is the
     * digest.
     */
    openBlob(
        digest: string,
        request: RegistryRequest & { readonly resume?: ResumePoint },
    ): Promise<OpenedSourceFile>;
    hasBlob(digest: string, request: RegistryRequest): Promise<boolean>;
    /** An upload that cannot be finished is taken back first, which delays the failure by at most 5 s. */
    putBlob(blob: BlobUpload, request: RegistryRequest): Promise<BlobOutcome>;
    /** @returns the digest the registry has given it, if it tells */
    putManifest(
        reference: string,
        bytes: Buffer,
        contentType: string,
        request: RegistryRequest,
    ): Promise<string | undefined>;
}

/** How a repository is to be used. */
export interface RepositoryUse {
    readonly scope: 'pull' | 'push';
    /** Absent: anonymously. */
    readonly credentials?: RegistryCredentials;
    /** Who names the registry, and answers for where it sends us (jobs-and-imports 7.4). */
    readonly supplier: Exclude<AddressSupplier, 'config'>;
}

/** Docker registries, by the names that callers give. */
export interface DockerRegistries {
    open(repository: DockerRepository, use: RepositoryUse): RegistryRepository;
}
