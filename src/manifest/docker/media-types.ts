/** Media types of manifests, in the order they are asked for (jobs-and-imports 5.2). */
export const MANIFEST_TYPES = [
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.oci.image.index.v1+json',
] as const;

/** Docker's own manifest of an image. */
export const DOCKER_MANIFEST_TYPE = MANIFEST_TYPES[0];

/** Docker's own config of an image (jobs-and-imports 5.5, 5.6). */
export const DOCKER_CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json';

/** What a manifest is: an image, a list of images, or an image in Docker's first schema. */
export type ManifestKind = 'image' | 'list' | 'schema1';

const KINDS: ReadonlyMap<string, ManifestKind> = new Map([
    [MANIFEST_TYPES[0], 'image'],
    [MANIFEST_TYPES[1], 'image'],
    [MANIFEST_TYPES[2], 'list'],
    [MANIFEST_TYPES[3], 'list'],
    ['application/vnd.docker.distribution.manifest.v1+json', 'schema1'],
    ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'schema1'],
]);

/** The kind of manifest that a media type stands for, its parameters left aside; `undefined` for others. */
export function manifestKindOf(mediaType: string | undefined): ManifestKind | undefined {
    return KINDS.get((mediaType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '');
}
