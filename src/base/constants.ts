import { readFileSync } from 'node:fs';

/** Owner of images that belong to nobody in particular: what public servers store (http-api 3.4). */
export const UNSET_OWNER_UUID = '00000000-0000-0000-0000-000000000000';

/** Largest image file, bytes (README table D). */
export const MAX_IMAGE_SIZE = 21_474_836_480;
/** {@link MAX_IMAGE_SIZE} as messages name it. */
export const MAX_IMAGE_SIZE_STR = '20 GiB';

/** Largest icon, bytes (README table D). */
export const MAX_ICON_SIZE = 131_072;
/** {@link MAX_ICON_SIZE} as messages name it. */
export const MAX_ICON_SIZE_STR = '128 KiB';

/** Largest JSON request body after decompression, bytes (http-api 1.3). */
export const MAX_BODY_SIZE = 8_388_608;

/** Longest chain of origins that is followed (http-api 3.21). */
export const MAX_ORIGIN_DEPTH = 100;

/** Compressions a file may be announced with, in the order messages list them (http-api 3.8). */
export const VALID_FILE_COMPRESSIONS = ['gzip', 'bzip2', 'xz', 'none'] as const;
/** One of {@link VALID_FILE_COMPRESSIONS}. */
export type FileCompression = (typeof VALID_FILE_COMPRESSIONS)[number];

/** What names of files end with, by compression. */
export const COMPRESSION_EXTENSIONS: Readonly<Record<FileCompression, string>> = {
    gzip: '.gz',
    bzip2: '.bz2',
    xz: '.xz',
    none: '',
};

/** Storage types a caller may name, in the order messages list them (http-api 3.8). */
export const VALID_STORAGES = ['local', 'manta'] as const;
/** One of {@link VALID_STORAGES}. */
export type StorageType = (typeof VALID_STORAGES)[number];

/** The ways a server may be run (http-api, vocabulary). */
export const VALID_MODES = ['public', 'private', 'dc'] as const;
/** One of {@link VALID_MODES}. */
export type ServerMode = (typeof VALID_MODES)[number];

/** Default base directory for all local files (backends 1.7). */
export const DEFAULT_BASE_DIR = '/data/imgapi';

interface PackageFacts {
    readonly version: string;
}

/** Version of this server, from package.json. */
export const VERSION: string = (
    JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as PackageFacts
).version;
