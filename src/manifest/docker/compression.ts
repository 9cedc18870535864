import type { FileCompression } from '../../base/constants.js';
import { ApiError } from '../../base/errors.js';
import { compressionByMagic, hasMagic, MAGIC_LENGTH } from '../../base/magic-bytes.js';

const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

/** Endings of Docker's media types of layers. */
const DOCKER_RE = /\.rootfs(?:\.foreign)?\.diff(?:\.tar(?:\.(gzip|bzip2|xz|zstd))?)?$/;
/** Ending of OCI's, which say nothing when there is no compression. */
const SUFFIX_RE = /\+(gzip|zstd)$/;

function unsupported(kind: string): ApiError {
    return new ApiError('NotImplemented', `${kind} layers are not supported`);
}

function unlessZstd(compression: string | undefined): FileCompression | undefined {
    if (compression === 'zstd') {
        throw unsupported('zstd-compressed');
    }
    return compression as FileCompression | undefined;
}

/**
 * The compression that the media type of a layer tells; `undefined`: the first bytes have to tell it.
 *
 * @throws ApiError `NotImplemented` for zstd and for encrypted layers
 */
export function compressionOfMediaType(mediaType: string | undefined): FileCompression | undefined {
    const type = mediaType?.toLowerCase() ?? '';
    if (type.endsWith('+encrypted')) {
        throw unsupported('encrypted');
    }
    const docker = DOCKER_RE.exec(type);
    return unlessZstd(docker === null ? SUFFIX_RE.exec(type)?.[1] : (docker[1] ?? 'none'));
}

/** The media type of a layer with this compression, in Docker's own manifests (jobs-and-imports 5.5). */
export function dockerLayerType(compression: FileCompression): string {
    const ending = compression === 'none' ? '' : `.${compression}`;
    return `application/vnd.docker.image.rootfs.diff.tar${ending}`;
}

/**
 * The compression of a file that begins with these bytes, {@link MAGIC_LENGTH} of them unless it is shorter.
 *
 * @throws ApiError `NotImplemented` for zstd
 */
export function sniffCompression(first: Uint8Array): FileCompression {
    if (hasMagic(first, ZSTD)) {
        throw unsupported('zstd-compressed');
    }
    return (first.length >= MAGIC_LENGTH && compressionByMagic(first)) || 'none';
}
