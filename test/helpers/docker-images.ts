import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants, gzipSync } from 'node:zlib';
import { seededBytes, tarArchive } from './tar-archive.js';

/** How the archive of a layer is packed. */
export type LayerPacking = 'gzip' | 'none' | 'xz' | 'zstd';

/** What a layer is made of; the same bytes come of it each time. */
export interface LayerSpec {
    /** What is in it besides its name follows from this. */
    readonly seed: string;
    /** Bytes of the one file in it, which cannot be packed any smaller. */
    readonly size?: number;
    readonly packing?: LayerPacking;
    /** Absent: that of the packing. */
    readonly mediaType?: string;
}

/** A layer as the manifest of its image names it. */
export interface MadeLayer {
    readonly digest: string;
    readonly size: number;
    readonly mediaType: string;
    /** Digest of the archive itself. */
    readonly diffId: string;
    readonly packing: LayerPacking;
}

/** A blob or manifest. */
export interface MadeBytes {
    readonly mediaType: string;
    readonly digest: string;
    readonly bytes: Buffer;
}

/** Whether manifests are those of OCI or those of Docker's version 2.2. */
export type ImageFormat = 'oci' | 'docker';

/** What an image is made of. */
export interface ImageSpec {
    /** The base first. */
    readonly layers: readonly LayerSpec[];
    /** By default `oci`. */
    readonly format?: ImageFormat;
    /**
     * By default an entry for each layer. `with-empty`: an empty entry before and one behind each, too.
     * `none`: the config has no history.
     */
    readonly history?: 'full' | 'with-empty' | 'none' | readonly Readonly<Record<string, unknown>>[];
    readonly os?: string;
    readonly architecture?: string;
    /** Keys of the config that differ. */
    readonly config?: Readonly<Record<string, unknown>>;
    /** Keys of the manifest that differ; those that are `undefined` are left out. */
    readonly manifest?: Readonly<Record<string, unknown>>;
}

/** An image; its layers have been handed on. */
export interface MadeImage extends MadeBytes {
    readonly config: MadeBytes;
    readonly layers: readonly MadeLayer[];
    readonly os: string;
    readonly architecture: string;
}

/** An index, and what it leads to. */
export interface MadeIndex extends MadeBytes {
    readonly images: readonly MadeImage[];
    /** Manifests and a config that say how an image was built. */
    readonly attestations: readonly MadeImage[];
}

/** Takes the bytes of a blob, one at a time. */
export type PutBlob = (blob: MadeBytes) => void | Promise<void>;

/** When everything here was created. */
export const CREATED = '2020-09-13T12:26:40Z';

const OCI = 'application/vnd.oci.image';
const DOCKER = 'application/vnd.docker';

/** Media types by format. */
export const MEDIA_TYPES = {
    oci: {
        manifest: `${OCI}.manifest.v1+json`,
        index: `${OCI}.index.v1+json`,
        config: `${OCI}.config.v1+json`,
        layers: { gzip: '+gzip', none: '', xz: '+xz', zstd: '+zstd' },
        layer: `${OCI}.layer.v1.tar`,
    },
    docker: {
        manifest: `${DOCKER}.distribution.manifest.v2+json`,
        index: `${DOCKER}.distribution.manifest.list.v2+json`,
        config: `${DOCKER}.container.image.v1+json`,
        layers: { gzip: '.gzip', none: '', xz: '.xz', zstd: '.zstd' },
        layer: `${DOCKER}.image.rootfs.diff.tar`,
    },
} as const;

export function sha256Digest(bytes: Buffer | string): string {
    return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

const ZSTD_BLOCK = 128 * 1024;

/** A zstd frame of blocks that are not packed. */
function zstdFrame(bytes: Buffer): Buffer {
    const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0]);
    head.writeUInt32LE(bytes.length, 5);
    const parts: Buffer[] = [head];
    for (let from = 0; from === 0 || from < bytes.length; from += ZSTD_BLOCK) {
        const block = bytes.subarray(from, from + ZSTD_BLOCK);
        const isLast = from + ZSTD_BLOCK >= bytes.length;
        const blockHead = Buffer.alloc(3);
        blockHead.writeUIntLE(block.length * 8 + (isLast ? 1 : 0), 0, 3);
        parts.push(blockHead, block);
    }
    return Buffer.concat(parts);
}

function pack(archive: Buffer, packing: LayerPacking): Buffer {
    switch (packing) {
        case 'none':
            return archive;
        case 'gzip':
            // What is in there gets no smaller anyway.
            return gzipSync(archive, { level: constants.Z_NO_COMPRESSION });
        case 'xz':
            return execFileSync('xz', ['-0', '-c'], { input: archive, maxBuffer: 2 * archive.length + 4096 });
        case 'zstd':
            return zstdFrame(archive);
    }
}

/** The file of a layer: a real archive. */
export function makeLayer(spec: LayerSpec, format: ImageFormat = 'oci'): MadeLayer & MadeBytes {
    const { seed, size = 3000, packing = 'gzip' } = spec;
    const name = `${seed.replace(/[^\w.-]/g, '_').slice(0, 80)}.bin`;
    const archive = tarArchive({ [name]: seededBytes(seed, size) });
    const bytes = pack(archive, packing);
    const types = MEDIA_TYPES[format];
    return {
        bytes,
        digest: sha256Digest(bytes),
        size: bytes.length,
        diffId: sha256Digest(archive),
        mediaType: spec.mediaType ?? `${types.layer}${types.layers[packing]}`,
        packing,
    };
}

function historyOf({ history = 'full', layers }: ImageSpec): unknown {
    if (history === 'none') return undefined;
    if (typeof history !== 'string') return history;
    const empty = (text: string): object => ({
        created: CREATED,
        created_by: `/bin/sh -c #(nop)  ${text}`,
        empty_layer: true,
    });
    return layers.flatMap(({ seed }, index) => {
        const entry = { created: CREATED, created_by: `/bin/sh -c #(nop) ADD file:${seed} in / ` };
        if (history === 'full') return [entry];
        return [empty(`ENV BEFORE=${index}`), entry, empty(`ENV BEHIND=${index}`)];
    });
}

function jsonBytes(mediaType: string, value: unknown): MadeBytes {
    const bytes = Buffer.from(JSON.stringify(value));
    return { mediaType, bytes, digest: sha256Digest(bytes) };
}

function descriptor({ mediaType, digest, bytes }: MadeBytes): Readonly<Record<string, unknown>> {
    return { mediaType, digest, size: bytes.length };
}

/** Makes an image; its layers and its config are handed on, its manifest is not. */
export async function makeImage(spec: ImageSpec, put: PutBlob): Promise<MadeImage> {
    const { format = 'oci', os = 'linux', architecture = 'amd64' } = spec;
    const types = MEDIA_TYPES[format];
    const layers: MadeLayer[] = [];
    for (const one of spec.layers) {
        const { bytes, ...layer } = makeLayer(one, format);
        await put({ mediaType: layer.mediaType, digest: layer.digest, bytes });
        layers.push(layer);
    }
    const config = jsonBytes(types.config, {
        architecture,
        os,
        created: CREATED,
        config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'], WorkingDir: '/srv' },
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        history: historyOf(spec),
        ...spec.config,
    });
    await put(config);
    const manifest = jsonBytes(types.manifest, {
        schemaVersion: 2,
        mediaType: types.manifest,
        config: descriptor(config),
        layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
        ...spec.manifest,
    });
    return { ...manifest, config, layers, os, architecture };
}

/** What an index is made of. */
export interface IndexSpec {
    /** One for each platform. */
    readonly images: readonly ImageSpec[];
    /** By default `oci`. */
    readonly format?: ImageFormat;
    /** Whether each image has an attestation; they come first, to be in the way. */
    readonly attestations?: boolean;
    /** Keys of the index that differ; those that are `undefined` are left out. */
    readonly index?: Readonly<Record<string, unknown>>;
}

/** As builders write it: an image of a platform nobody has, whose one layer is a statement. */
async function makeAttestation(of: MadeImage, put: PutBlob): Promise<MadeImage> {
    const type = 'application/vnd.in-toto+json';
    const statement = jsonBytes(type, {
        _type: 'https://in-toto.io/Statement/v0.1',
        predicateType: 'https://slsa.dev/provenance/v0.2',
        subject: [{ name: 'image', digest: { sha256: of.digest.slice('sha256:'.length) } }],
        predicate: {},
    });
    await put(statement);
    const layer = { mediaType: type, digest: statement.digest, size: statement.bytes.length };
    const config = jsonBytes(MEDIA_TYPES.oci.config, {
        architecture: 'unknown',
        os: 'unknown',
        config: {},
        rootfs: { type: 'layers', diff_ids: [statement.digest] },
    });
    await put(config);
    const manifest = jsonBytes(MEDIA_TYPES.oci.manifest, {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.oci.manifest,
        config: descriptor(config),
        layers: [
            { ...layer, annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v0.2' } },
        ],
    });
    const made: MadeLayer = { ...layer, diffId: statement.digest, packing: 'none' };
    return { ...manifest, config, layers: [made], os: 'unknown', architecture: 'unknown' };
}

/** Makes an index; the blobs of its images are handed on, no manifest is. */
export async function makeIndex(spec: IndexSpec, put: PutBlob): Promise<MadeIndex> {
    const { format = 'oci' } = spec;
    const images: MadeImage[] = [];
    for (const image of spec.images) images.push(await makeImage({ format, ...image }, put));
    const attestations: MadeImage[] = [];
    if (spec.attestations === true) {
        for (const image of images) attestations.push(await makeAttestation(image, put));
    }
    const type = MEDIA_TYPES[format].index;
    const platform = ({ os, architecture }: MadeImage): object => ({ os, architecture });
    const index = jsonBytes(type, {
        schemaVersion: 2,
        mediaType: type,
        manifests: [
            ...attestations.map((one, at) => ({
                ...descriptor(one),
                annotations: {
                    'vnd.docker.reference.digest': images[at]?.digest,
                    'vnd.docker.reference.type': 'attestation-manifest',
                },
                platform: platform(one),
            })),
            ...images.map((one) => ({ ...descriptor(one), platform: platform(one) })),
        ],
        ...spec.index,
    });
    return { ...index, images, attestations };
}
