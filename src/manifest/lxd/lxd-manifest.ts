import { UNSET_OWNER_UUID } from '../../base/constants.js';
import { uuidFromLxdFingerprint } from '../docker-digest.js';
import { MANIFEST_VERSION } from '../limits.js';
import type { JsonObject } from '../types.js';
import type { LxdImage, LxdProduct, LxdVersion } from './lxd-image.js';

const NOT_IN_NAMES = /[^0-9a-zA-Z\-_./ ]/g;
const NOT_IN_VERSIONS = /[^0-9a-zA-Z\-_./+]/g;

/** Midnight of the date a version begins with; `undefined`: it begins with none. */
function publishedAt(version: string): string | undefined {
    const [, year, month, day] = /^(\d{4})(\d{2})(\d{2})/.exec(version) ?? [];
    const text = `${year}-${month}-${day}T00:00:00.000Z`;
    const time = Date.parse(text);
    return Number.isNaN(time) || new Date(time).toISOString() !== text ? undefined : text;
}

function tagsOf(product: LxdProduct, version: LxdVersion, registry: string): JsonObject {
    const { key, aliases, pubname, arch, os, release, releaseTitle } = product;
    const [{ path, sha256 }] = version.files;
    return {
        ...(arch === undefined ? {} : { 'lxd:arch': arch }),
        'lxd:aliases': aliases,
        'lxd:fingerprint': version.fingerprint,
        'lxd:ftype': version.ftype,
        'lxd:name': pubname ?? key,
        ...(os === undefined ? {} : { 'lxd:os': os }),
        'lxd:path': path,
        ...(release === undefined ? {} : { 'lxd:release': release }),
        ...(releaseTitle === undefined ? {} : { 'lxd:release_title': releaseTitle }),
        'lxd:repo': registry,
        'lxd:sha256': sha256,
    };
}

/** The uuid of an image: every server that has it computes the same one (manifest 11). */
function lxdImageUuid({ version }: LxdImage): string {
    return uuidFromLxdFingerprint(version.fingerprint);
}

/**
 * The manifest of an LXD image, from which its record is built as for any import (jobs-and-imports 6,
 * manifest 11).
 *
 * @param registry name of the server in the configuration
 */
export function lxdManifest(image: LxdImage, registry: string, isPublic: boolean): JsonObject {
    const { product, version } = image;
    const published = publishedAt(version.version);
    return {
        v: MANIFEST_VERSION,
        uuid: lxdImageUuid(image),
        owner: UNSET_OWNER_UUID,
        name: (product.pubname ?? product.key).replace(NOT_IN_NAMES, '_'),
        version: version.version.replace(NOT_IN_VERSIONS, '_'),
        description: product.key,
        type: 'lxd',
        os: 'linux',
        requirements: { brand: 'lx' },
        public: isPublic,
        ...(published === undefined ? {} : { published_at: published }),
        tags: tagsOf(product, version, registry),
    };
}
