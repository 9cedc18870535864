import { validationFailed } from '../../base/errors.js';
import { isObject } from '../coerce.js';
import { uuidFromDockerDigests } from '../docker-digest.js';
import type { JsonObject, JsonValue } from '../types.js';
import { compressionOfMediaType } from './compression.js';
import type { DockerLayer } from './docker-layer.js';
import type { DockerDescriptor, ImageManifest } from './image-manifest.js';
import { isDigest, shortIdOf } from './tag-and-digest.js';

/** The uuids of the images of a chain of layers, base layer first; each is made of the layers up to it. */
export function chainUuids(digests: readonly string[]): readonly string[] {
    return digests.map((_digest, at) => uuidFromDockerDigests(digests.slice(0, at + 1)));
}

/** A layer as far as its manifest goes, and its digest unpacked. */
export interface PlainLayer extends DockerDescriptor {
    readonly uncompressedDigest?: string;
}

function textOf(value: JsonValue | undefined): string {
    return typeof value === 'string' ? value : '';
}

/** What is known of a layer that is not the last one: how it came about, and what it is for. */
function metadataOf(entry: JsonObject, { os, architecture }: JsonObject): JsonObject {
    return {
        ...(entry.created === undefined ? {} : { created: entry.created }),
        container_config: { Cmd: [textOf(entry.created_by)] },
        ...(os === undefined ? {} : { os }),
        ...(architecture === undefined ? {} : { architecture }),
    };
}

/**
 * The images of a chain of layers.
 *
 * @param entries of the history, one a layer
 * @throws ApiError `NotImplemented` for layers in a form that is not supported
 */
export function chainOf(
    config: JsonObject,
    entries: readonly JsonObject[],
    layers: readonly PlainLayer[],
): readonly DockerLayer[] {
    const uuids = chainUuids(layers.map(({ digest }) => digest));
    return layers.map(({ digest, mediaType, uncompressedDigest }, at) => {
        const origin = uuids[at - 1];
        const compression = compressionOfMediaType(mediaType);
        return {
            uuid: uuids[at] ?? '',
            ...(origin === undefined ? {} : { origin }),
            digest,
            shortId: shortIdOf(digest),
            ...(compression === undefined ? {} : { compression }),
            ...(uncompressedDigest === undefined ? {} : { uncompressedDigest }),
            metadata: at === layers.length - 1 ? config : metadataOf(entries[at] ?? {}, config),
        };
    });
}

/** The entries of the history that have made a layer; all that there is to say where there is no history. */
function layerEntries(
    { history, created }: JsonObject,
    count: number,
    invalid: (why: string) => Error,
): readonly JsonObject[] {
    if (history === undefined || history === null || (Array.isArray(history) && history.length === 0)) {
        const entry: JsonObject = { ...(created === undefined ? {} : { created }), created_by: '' };
        return Array.from({ length: count }, () => entry);
    }
    if (!Array.isArray(history) || !history.every(isObject)) {
        throw invalid('"history" is not an array of objects');
    }
    const entries = (history as readonly JsonObject[]).filter((entry) => entry.empty_layer !== true);
    if (entries.length !== count) {
        throw invalid(`${entries.length} layers in "history", but ${count} in the manifest`);
    }
    return entries;
}

function diffIds({ rootfs }: JsonObject, count: number, invalid: (why: string) => Error): readonly string[] {
    const digests = isObject(rootfs) ? rootfs['diff_ids'] : undefined;
    if (!Array.isArray(digests) || !digests.every(isDigest)) {
        throw invalid('"rootfs.diff_ids" is not an array of SHA-256 digests');
    }
    if (digests.length !== count) {
        throw invalid(`${digests.length} layers in "rootfs.diff_ids", but ${count} in the manifest`);
    }
    return digests;
}

/**
 * The layers of an image with this config, base layer first (jobs-and-imports 5.3).
 *
 * @throws ApiError `ValidationFailed` for a config that does not fit the manifest; `NotImplemented` for layers
 *     in a form that is not supported
 */
export function imageLayers(config: JsonObject, manifest: ImageManifest): readonly DockerLayer[] {
    const invalid = (why: string): Error =>
        validationFailed(`invalid docker config, digest ${manifest.config.digest}, ${why}`, []);
    const count = manifest.layers.length;
    const entries = layerEntries(config, count, invalid);
    const digests = diffIds(config, count, invalid);
    const layers = manifest.layers.map((layer, at) => ({ ...layer, uncompressedDigest: digests[at] ?? '' }));
    return chainOf(config, entries, layers);
}
