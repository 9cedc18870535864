import { ApiError, internalError, validationFailed } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { configDownloadFailed, MAX_CONFIG_SIZE, parseConfig } from '../../manifest/docker/image-config.js';
import {
    type DockerDescriptor,
    type DockerManifest,
    type ManifestList,
    manifestDigest,
    parseManifest,
} from '../../manifest/docker/image-manifest.js';
import { choosePlatform, MAX_LIST_DEPTH } from '../../manifest/docker/platform.js';
import { isDigest } from '../../manifest/docker/tag-and-digest.js';
import type { JsonObject } from '../../manifest/types.js';
import type { RegistryRepository } from '../../remotes/docker-registry.js';
import { REQUEST_RETRIES } from '../../transfers/retries.js';
import { retrying } from '../../transfers/retrying.js';
import { registryFailure } from './registry-failure.js';

/** The manifest of one image, whose digest is what its repository says. */
export interface FetchedManifest {
    readonly bytes: Buffer;
    readonly manifest: Exclude<DockerManifest, ManifestList>;
    readonly digest: string;
}

/** @throws ApiError `ValidationFailed`, as it is for digests of registries that do not hold (jobs-and-imports 5.3) */
function requireDigest(what: string, actual: string, expected: string | undefined): void {
    if (isDigest(expected) && expected !== actual) {
        throw validationFailed(`${what} does not match, got ${actual}, expected ${expected}`, []);
    }
}

async function fetchOne(
    repository: RegistryRepository,
    reference: string,
    subject: string,
    signal: AbortSignal,
): Promise<Omit<FetchedManifest, 'manifest'> & { readonly manifest: DockerManifest }> {
    const found = await retrying(REQUEST_RETRIES, signal, () => repository.manifest(reference, { signal }));
    const { bytes } = found;
    const manifest = parseManifest(bytes, found.contentType, subject);
    const digest = manifestDigest(bytes, manifest);
    requireDigest('Docker-Content-Digest', digest, found.digest);
    requireDigest('manifest digest', digest, reference);
    return { bytes, manifest, digest };
}

/**
 * Fetches the manifest of an image; of a list, the one for our platform (jobs-and-imports 5.2).
 *
 * @param reference tag or digest
 * @param subject for messages
 * @throws ApiError for a manifest that is none, or another one; OutgoingError; the reason of the signal
 */
export async function fetchManifest(
    repository: RegistryRepository,
    reference: string,
    subject: string,
    signal: AbortSignal,
): Promise<FetchedManifest> {
    let wanted = reference;
    for (let lists = 0; lists <= MAX_LIST_DEPTH; lists += 1) {
        const { manifest, ...facts } = await fetchOne(repository, wanted, subject, signal);
        if (manifest.kind !== 'list') {
            return { ...facts, manifest };
        }
        wanted = choosePlatform(manifest);
    }
    throw internalError(`more than ${MAX_LIST_DEPTH} manifest lists lead to one another in ${subject}`);
}

/** Reads a blob that is small. @throws ApiError `Download`, OutgoingError */
async function readConfig(
    repository: RegistryRepository,
    digest: string,
    signal: AbortSignal,
): Promise<Buffer> {
    const opened = await repository.openBlob(digest, { signal });
    const { body } = opened;
    const parts: Buffer[] = [];
    let size = 0;
    try {
        for await (const part of body as AsyncIterable<Buffer>) {
            size += part.length;
            if (size > MAX_CONFIG_SIZE) {
                throw configDownloadFailed(digest, `it has more than ${MAX_CONFIG_SIZE} bytes`);
            }
            parts.push(part);
        }
    } catch (error) {
        throw error instanceof ApiError ? error : opened.failure(error);
    } finally {
        body.destroy();
    }
    return Buffer.concat(parts);
}

/**
 * Fetches the config of an image (jobs-and-imports 5.3).
 *
 * @throws ApiError `Download`, `ValidationFailed`; the reason of the signal
 */
export async function fetchConfig(
    repository: RegistryRepository,
    { digest, size = 0 }: DockerDescriptor,
    signal: AbortSignal,
): Promise<JsonObject> {
    if (size > MAX_CONFIG_SIZE) {
        throw configDownloadFailed(digest, `it has more than ${MAX_CONFIG_SIZE} bytes`);
    }
    try {
        const bytes = await retrying(REQUEST_RETRIES, signal, () => readConfig(repository, digest, signal));
        return parseConfig(bytes, digest);
    } catch (error) {
        signal.throwIfAborted();
        if (error instanceof OutgoingError) {
            throw configDownloadFailed(digest, registryFailure(error).message, error);
        }
        throw error;
    }
}
