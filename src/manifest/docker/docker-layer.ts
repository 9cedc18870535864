import type { FileCompression } from '../../base/constants.js';
import type { JsonObject } from '../types.js';

/** Most layers of an image. Docker itself makes no more than 127. */
export const MAX_LAYERS = 256;

/** A layer of a Docker image: an image of its own here (jobs-and-imports 5.3). */
export interface DockerLayer {
    /** From the digests of the chain up to this layer. */
    readonly uuid: string;
    /** Absent for the base. */
    readonly origin?: string;
    /** `sha256:<hex>` of the file as the registry has it. */
    readonly digest: string;
    /** First 12 hex digits of the digest. */
    readonly shortId: string;
    /** By its media type; absent: its first bytes tell. */
    readonly compression?: FileCompression;
    /** `sha256:<hex>` of the unpacked file; absent in schema 1. */
    readonly uncompressedDigest?: string;
    /** What is known of the image up to this layer: for the last one its whole config. */
    readonly metadata: JsonObject;
}
