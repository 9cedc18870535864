import { ApiError, messageOf } from '../../base/errors.js';
import { isObject } from '../coerce.js';
import type { JsonObject, JsonValue } from '../types.js';
import { MAX_LAYERS } from './docker-layer.js';
import { parseJsonObject } from './json-document.js';
import { type ManifestKind, manifestKindOf } from './media-types.js';
import { parseSchema1, type Schema1Manifest } from './schema1.js';
import { digestOf, isDigest } from './tag-and-digest.js';

/** What a manifest says of a blob or of another manifest. */
export interface DockerDescriptor {
    readonly digest: string;
    readonly mediaType?: string;
    /** Bytes. */
    readonly size?: number;
}

/** The manifest of one image, of Docker (2.2) or OCI. */
export interface ImageManifest {
    readonly kind: 'image';
    /** Its own; absent in some of OCI. */
    readonly mediaType: string | undefined;
    readonly config: DockerDescriptor;
    /** Base layer first; never empty. */
    readonly layers: readonly DockerDescriptor[];
    readonly value: JsonObject;
}

/** An image in a list. */
export interface ListEntry extends DockerDescriptor {
    readonly os?: string;
    readonly architecture?: string;
    /** Says something about another entry; is no image. */
    readonly isAttestation: boolean;
}

/** Images for several platforms: Docker's manifest list or OCI's index. */
export interface ManifestList {
    readonly kind: 'list';
    /** Never empty. */
    readonly entries: readonly ListEntry[];
    readonly value: JsonObject;
}

/** A manifest as a registry has it (jobs-and-imports 5.2). */
export type DockerManifest = ImageManifest | ManifestList | Schema1Manifest;

/** Most images in a list. */
const MAX_LIST_ENTRIES = 1000;

function manifestError(message: string, cause?: unknown): ApiError {
    return new ApiError('InternalError', message, { cause });
}

function readDescriptor(value: JsonValue | undefined, what: string): DockerDescriptor {
    if (!isObject(value)) {
        throw manifestError(`invalid ${what}: not an object`);
    }
    const { digest, mediaType, size } = value;
    if (!isDigest(digest)) {
        throw manifestError(`invalid ${what}: its digest is not "sha256:" and 64 hexadecimal digits`);
    }
    if (size !== undefined && !(Number.isSafeInteger(size) && (size as number) >= 0)) {
        throw manifestError(`invalid ${what}: its size is not a number of bytes`);
    }
    return {
        digest,
        ...(typeof mediaType === 'string' ? { mediaType } : {}),
        ...(size === undefined ? {} : { size: size as number }),
    };
}

function readArray(
    value: JsonValue | undefined,
    key: string,
    limit: number,
    subject: string,
): readonly JsonValue[] {
    if (value !== undefined && value !== null && !Array.isArray(value)) {
        throw manifestError(`invalid "${key}" in ${subject} manifest: not an array`);
    }
    const items = (value ?? []) as readonly JsonValue[];
    if (items.length > limit) {
        throw manifestError(`too many ${key} in ${subject} manifest: ${items.length} (max ${limit})`);
    }
    return items;
}

function readImage(value: JsonObject, subject: string): ImageManifest {
    const layers = readArray(value.layers, 'layers', MAX_LAYERS, subject);
    if (layers.length === 0) {
        throw manifestError(`no layers in ${subject} manifest`);
    }
    return {
        kind: 'image',
        mediaType: typeof value.mediaType === 'string' ? value.mediaType : undefined,
        config: readDescriptor(value.config, `config in ${subject} manifest`),
        layers: layers.map((layer, at) => readDescriptor(layer, `layer ${at} in ${subject} manifest`)),
        value,
    };
}

function textOf(value: unknown): string | undefined {
    return typeof value === 'string' ? value : undefined;
}

function readListEntry(value: JsonValue, what: string): ListEntry {
    const descriptor = readDescriptor(value, what);
    const { platform, annotations } = value as JsonObject;
    const os = isObject(platform) ? textOf(platform['os']) : undefined;
    const architecture = isObject(platform) ? textOf(platform['architecture']) : undefined;
    return {
        ...descriptor,
        ...(os === undefined ? {} : { os }),
        ...(architecture === undefined ? {} : { architecture }),
        isAttestation: isObject(annotations) && annotations['vnd.docker.reference.type'] !== undefined,
    };
}

function readList(value: JsonObject, subject: string): ManifestList {
    const manifests = readArray(value.manifests, 'manifests', MAX_LIST_ENTRIES, subject);
    if (manifests.length === 0) {
        throw manifestError(`no manifests in ${subject} manifest list`);
    }
    const entries = manifests.map((entry, at) =>
        readListEntry(entry, `entry ${at} in ${subject} manifest list`),
    );
    return { kind: 'list', entries, value };
}

/** By what it says of itself, what the registry says of it, and what it looks like, in this order. */
function kindOf(value: JsonObject, contentType: string | undefined): ManifestKind {
    const told = manifestKindOf(textOf(value.mediaType)) ?? manifestKindOf(contentType);
    if (told !== undefined) {
        return told;
    }
    if (Array.isArray(value.manifests)) {
        return 'list';
    }
    return value.schemaVersion === 1 || value.fsLayers !== undefined ? 'schema1' : 'image';
}

function checkVersion({ schemaVersion }: JsonObject, subject: string): void {
    if (schemaVersion === undefined) {
        return;
    }
    if (typeof schemaVersion !== 'number') {
        throw manifestError(`invalid schemaVersion in ${subject} manifest: not a number`);
    }
    if (schemaVersion > 2) {
        throw manifestError(`unsupported schemaVersion in ${subject} manifest: ${schemaVersion}`);
    }
}

/** Refuses what one reader would take for an image and another one for a list. */
function checkAmbiguity(kind: ManifestKind, value: JsonObject, subject: string): void {
    const others = { image: ['manifests', 'fsLayers'], list: ['layers', 'config', 'fsLayers'], schema1: [] };
    const other = others[kind].find((key) => value[key] !== undefined && value[key] !== null);
    if (other !== undefined) {
        throw manifestError(`ambiguous ${subject} manifest: "${other}" does not belong there`);
    }
}

/**
 * Reads a manifest of any kind; signatures of schema 1 are verified.
 *
 * @param contentType as the registry has named it
 * @param subject for messages, `<local name>:<tag>` or `<local name>@<digest>`
 * @throws ApiError `InternalError` that says what is wrong with it; for schema 1 also `ValidationFailed`
 */
export function parseManifest(
    bytes: Buffer,
    contentType: string | undefined,
    subject: string,
): DockerManifest {
    let value: JsonObject;
    try {
        value = parseJsonObject(bytes);
    } catch (error) {
        throw manifestError(`invalid JSON in ${subject} manifest: ${messageOf(error)}`, error);
    }
    checkVersion(value, subject);
    const kind = kindOf(value, contentType);
    checkAmbiguity(kind, value, subject);
    switch (kind) {
        case 'image':
            return readImage(value, subject);
        case 'list':
            return readList(value, subject);
        case 'schema1':
            return parseSchema1(bytes, value, subject);
    }
}

/** The digest of a manifest: of its bytes, for schema 1 of what is signed (jobs-and-imports 5.2). */
export function manifestDigest(bytes: Buffer, manifest: DockerManifest): string {
    return digestOf(manifest.kind === 'schema1' ? manifest.payload : bytes);
}
