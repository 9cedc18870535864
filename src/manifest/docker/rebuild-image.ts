import type { FileCompression } from '../../base/constants.js';
import type { JsonObject } from '../types.js';
import { dockerLayerType } from './compression.js';
import { DOCKER_CONFIG_TYPE, DOCKER_MANIFEST_TYPE } from './media-types.js';
import type { Schema1Manifest } from './schema1.js';
import { digestOf } from './tag-and-digest.js';

/** What is known of a layer once it is here. */
export interface LayerFile {
    /** Bytes. */
    readonly size: number;
    readonly compression: FileCompression;
    readonly uncompressedDigest: string;
}

/** An image of schema 1 in the form of schema 2. */
export interface RebuiltImage {
    readonly config: JsonObject;
    /** Compact JSON. */
    readonly configText: string;
    readonly configDigest: string;
    readonly manifestText: string;
    readonly manifestDigest: string;
}

/**
 * Makes an image of schema 2 of one of schema 1 (jobs-and-imports 5.5).
 *
 * @param files of its layers, in the same order
 * @throws Error if there are not as many of them as of layers
 */
export function rebuildImage({ config, layers }: Schema1Manifest, files: readonly LayerFile[]): RebuiltImage {
    if (files.length !== layers.length) {
        throw new Error(`${files.length} files for ${layers.length} layers`);
    }
    const diffIds = files.map(({ uncompressedDigest }) => uncompressedDigest);
    const rebuilt: JsonObject = { ...config, rootfs: { type: 'layers', diff_ids: diffIds } };
    const configText = JSON.stringify(rebuilt);
    const configDigest = digestOf(configText);
    const manifest: JsonObject = {
        schemaVersion: 2,
        mediaType: DOCKER_MANIFEST_TYPE,
        config: { mediaType: DOCKER_CONFIG_TYPE, size: Buffer.byteLength(configText), digest: configDigest },
        layers: files.map(({ compression, size }, at) => ({
            digest: layers[at]?.digest ?? '',
            mediaType: dockerLayerType(compression),
            size,
        })),
    };
    const manifestText = JSON.stringify(manifest, null, 4);
    return {
        config: rebuilt,
        configText,
        configDigest,
        manifestText,
        manifestDigest: digestOf(manifestText),
    };
}
