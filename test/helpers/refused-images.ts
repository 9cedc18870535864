import type { RegistryDouble } from '../doubles/registry/registry-double.js';
import { MEDIA_TYPES, sha256Digest, type ImageSpec, type MadeBytes } from './docker-images.js';

const PLAIN: ImageSpec = { layers: [{ seed: 'refused' }] };
function manifest(value: object, mediaType: string = MEDIA_TYPES.oci.manifest): MadeBytes {
    const bytes = Buffer.from(JSON.stringify(value));
    return { mediaType, bytes, digest: sha256Digest(bytes) };
}

const OTHER = `sha256:${'a'.repeat(64)}`;

/** What is offered under a name, and the code and message its pull ends with. */
export interface RefusedImage {
    readonly offer: (repository: string) => unknown;
    readonly code: string;
    readonly message: string | ((repository: string) => string);
}

const INVALID_CONFIG = '{"rootfs":';
const STRANGE_CONFIG = JSON.stringify({ rootfs: { type: 'layers', diff_ids: [] }, history: [{}] });

/** An image whose config is this text. */
async function withConfig(registry: RegistryDouble, repository: string, text: string): Promise<string> {
    const config = Buffer.from(text);
    const digest = sha256Digest(config);
    registry.repositories.putBlob(repository, config);
    await registry.putImage(repository, '1', {
        ...PLAIN,
        manifest: { config: { mediaType: MEDIA_TYPES.oci.config, digest, size: config.length } },
    });
    return digest;
}

/** Images that cannot be pulled, one way each, by what is wrong. */
export const refusedImages = (registry: RegistryDouble): Readonly<Record<string, RefusedImage>> => ({
    'no such repository': {
        offer: () => undefined,
        code: 'ResourceNotFound',
        message: 'repository name not known to registry',
    },
    'no such tag': {
        offer: (repository) => registry.putImage(repository, '2', PLAIN),
        code: 'ResourceNotFound',
        message: 'manifest unknown',
    },
    'a manifest that is none': {
        offer: (repository) =>
            registry.putManifest(repository, '1', { ...manifest({}), bytes: Buffer.from('{') }),
        code: 'InternalError',
        message: (subject) =>
            `invalid JSON in ${subject} manifest: Expected property name or '}' in JSON at position 1`,
    },
    'a newer schema': {
        offer: (repository) => registry.putManifest(repository, '1', manifest({ schemaVersion: 3 })),
        code: 'InternalError',
        message: (subject) => `unsupported schemaVersion in ${subject} manifest: 3`,
    },
    'no layers': {
        offer: (repository) => registry.putImage(repository, '1', { ...PLAIN, manifest: { layers: [] } }),
        code: 'InternalError',
        message: (subject) => `no layers in ${subject} manifest`,
    },
    'an empty list': {
        offer: (repository) =>
            registry.putManifest(
                repository,
                '1',
                manifest({ schemaVersion: 2, manifests: [] }, MEDIA_TYPES.oci.index),
            ),
        code: 'InternalError',
        message: (subject) => `no manifests in ${subject} manifest list`,
    },
    'a list of others': {
        offer: (repository) =>
            registry.putIndex(repository, '1', {
                images: [{ ...PLAIN, architecture: 'arm64' }],
                attestations: true,
            }),
        code: 'ValidationFailed',
        message: "no linux-amd64 platform found in manifest list: [ 'linux-arm64' ]",
    },
    'another digest in the header': {
        offer: async (repository) => {
            await registry.putImage(repository, '1', PLAIN);
            registry.inject(
                { headers: { 'docker-content-digest': OTHER } },
                { path: `/v2/${repository}/manifests/1` },
            );
        },
        code: 'ValidationFailed',
        message: 'Docker-Content-Digest does not match, got sha256:',
    },
    'a list that leads to another manifest than it says': {
        offer: async (repository) => {
            const { images: made } = await registry.putIndex(repository, '1', { images: [PLAIN] });
            registry.putManifest(repository, made[0]?.digest ?? '', manifest({ schemaVersion: 2 }));
        },
        code: 'InternalError',
        message: (subject) => `no layers in ${subject} manifest`,
    },
    'a manifest of another digest': {
        offer: async (repository) => {
            const { images: made } = await registry.putIndex(repository, '1', { images: [PLAIN] });
            const other = await registry.putImage(repository, 'x', { layers: [{ seed: 'another' }] });
            registry.putManifest(repository, made[0]?.digest ?? '', {
                ...other,
                digest: made[0]?.digest ?? '',
            });
            registry.inject(
                { headers: { 'docker-content-digest': undefined } },
                { kind: 'get-manifest', path: (path) => path.startsWith(`/v2/${repository}/`) },
            );
        },
        code: 'ValidationFailed',
        message: 'manifest digest does not match, got sha256:',
    },
    'a config with other bytes': {
        offer: async (repository) => {
            const { config } = await registry.putImage(repository, '1', PLAIN);
            registry.inject({ corruptAt: 5 }, { path: `/v2/${repository}/blobs/${config.digest}` });
        },
        code: 'Download',
        message: 'config digest does not match, got sha256:',
    },
    'no config': {
        offer: (repository) =>
            registry.putImage(repository, '1', {
                ...PLAIN,
                manifest: { config: { mediaType: MEDIA_TYPES.oci.config, digest: OTHER, size: 3 } },
            }),
        code: 'Download',
        message: `error downloading config with digest ${OTHER}, blob unknown to registry`,
    },
    'a config without an end': {
        offer: async (repository) => {
            const { config } = await registry.putImage(repository, '1', PLAIN);
            registry.inject({ endless: true }, { path: `/v2/${repository}/blobs/${config.digest}` });
        },
        code: 'Download',
        message: 'error downloading config with digest sha256:',
    },
    'a config that is too long': {
        offer: (repository) =>
            registry.putImage(repository, '1', {
                ...PLAIN,
                manifest: { config: { mediaType: MEDIA_TYPES.oci.config, digest: OTHER, size: 8_388_609 } },
            }),
        code: 'Download',
        message: `error downloading config with digest ${OTHER}, it has more than 8388608 bytes`,
    },
    'a config that is no JSON': {
        offer: (repository) => withConfig(registry, repository, INVALID_CONFIG),
        code: 'ValidationFailed',
        message: `invalid JSON for docker config, digest ${sha256Digest(INVALID_CONFIG)}, err `,
    },
    'a config of an image with fewer layers': {
        offer: (repository) => withConfig(registry, repository, STRANGE_CONFIG),
        code: 'ValidationFailed',
        message: `invalid docker config, digest ${sha256Digest(STRANGE_CONFIG)}, 0 layers in "rootfs.diff_ids", but 1 in the manifest`,
    },
    'a layer that is not there': {
        offer: (repository) =>
            registry.putImage(repository, '1', {
                ...PLAIN,
                manifest: { layers: [{ mediaType: 'x', digest: OTHER, size: 3 }] },
            }),
        code: 'ResourceNotFound',
        message: 'blob unknown to registry',
    },
    'a layer in another format': {
        offer: (repository) =>
            registry.putImage(repository, '1', {
                layers: [{ seed: 'zstd', packing: 'zstd', mediaType: 'application/x-unknown' }],
            }),
        code: 'NotImplemented',
        message: 'zstd-compressed layers are not supported',
    },
    'a layer that is too big': {
        offer: async (repository) => {
            const { layers } = await registry.putImage(repository, '1', PLAIN);
            registry.inject(
                { contentLength: 21_474_836_481 },
                { path: `/v2/${repository}/blobs/${layers[0]?.digest}` },
            );
        },
        code: 'ImageFileTooBig',
        message: 'Image file size, 21474836481, exceeds the maximum allowed file size, 20 GiB',
    },
    'a registry that is out of order': {
        offer: (repository) =>
            registry.inject(
                { refuse: { status: 418, code: 'X', message: 'no tea today' } },
                { path: `/v2/${repository}/manifests/1` },
            ),
        code: 'InternalError',
        message: 'no tea today',
    },
    'a registry that says nothing of itself': {
        offer: (repository) =>
            registry.inject(
                { refuse: { status: 418, body: 'short and stout' } },
                { path: `/v2/${repository}/manifests/1` },
            ),
        code: 'InternalError',
        message: (subject) =>
            `GET ${registry.url}/v2/${subject.split('/').at(-1)?.split(':')[0]}/manifests/1: status 418`,
    },
    'somebody who may not see it': {
        offer: (repository) =>
            registry.inject({ refuse: { status: 401 } }, { path: `/v2/${repository}/manifests/1` }),
        code: 'ResourceNotFound',
        message: 'authentication required',
    },
});
