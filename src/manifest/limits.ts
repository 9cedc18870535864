import type { ImageState } from './types.js';

/** Format version of the manifests this server writes (manifest 0). */
export const MANIFEST_VERSION = 2;

/** Lengths in UTF-16 units (manifest 0). */
export const MAX_NAME_LENGTH = 1024;
export const MAX_VERSION_LENGTH = 512;
export const MAX_DESCRIPTION_LENGTH = 10_240;
export const MAX_URL_LENGTH = 1024;
export const MAX_BILLING_TAG_LENGTH = 128;
/** Of the tags object as compact JSON. */
export const MAX_TAGS_LENGTH = 102_400;

/** All lists in the order messages name them (manifest 0). */
export const TYPES = ['zone-dataset', 'zvol', 'lx-dataset', 'lxd', 'docker', 'other'] as const;
export const OSES = ['smartos', 'linux', 'windows', 'bsd', 'illumos', 'other'] as const;
export const STATES = [
    'active',
    'unactivated',
    'disabled',
    'failed',
    'creating',
] as const satisfies ImageState[];
export const BOOT_ROMS = ['bios', 'uefi'] as const;

/** Patterns of texts (manifest 0); without flags, so that their source is JSON Schema too. */
export const NAME_RE = /^[A-Za-z0-9._/ -]+$/;
export const VERSION_RE = /^[A-Za-z0-9._/+-]+$/;
export const PUBLISHED_AT_RE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z$/;
export const WEB_URL_RE = /^\s*[Hh][Tt][Tt][Pp][Ss]?:/;

/** How many files an image can have: of LXD's the metadata may be one of their own. */
export function maxFilesOf(type: unknown): number {
    return type === 'lxd' ? 2 : 1;
}
