import { posix } from 'node:path';
import { COMPRESSION_EXTENSIONS } from '../base/constants.js';
import { invalidParameter, validationFailed } from '../base/errors.js';
import { text } from '../manifest/coerce.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import type { ObjectStore } from '../remotes/object-store.js';

/** Longest path that is taken, characters. */
const MAX_PATH_LENGTH = 1024;

const CONTROL_CHARACTERS = '\\u0000-\\u001f\\u007f-\\u009f';
const HAS_CONTROL_CHARACTER = new RegExp(`[${CONTROL_CHARACTERS}]`);
/** What no file name may have. */
const NOT_IN_NAMES = new RegExp(`[/${CONTROL_CHARACTERS}]`, 'g');

/** Where a caller wants an export, normalised: absolute, without `.`, `..` and a slash at the end. */
export interface ExportPrefix {
    readonly path: string;
    /** First component: login of the account whose area it is. */
    readonly login: string;
    /** How many components the path has. */
    readonly depth: number;
}

/** Paths of an exported image. */
export interface ExportPaths {
    readonly manifest: string;
    readonly image: string;
}

/**
 * Reads the `manta_path` parameter (jobs-and-imports 7.1 #1, #2).
 *
 * @param given `undefined`: it does not occur
 * @throws 422 `ValidationFailed`, `InvalidParameter`
 */
export function requireExportPrefix(given: string | undefined): ExportPrefix {
    if (given === undefined) {
        throw validationFailed("missing 'manta_path' prefix parameter", [
            { field: 'manta_path', code: 'MissingParameter' },
        ]);
    }
    const names = posix.normalize(given).split('/').filter(Boolean);
    const [login] = names;
    // A relative one would be taken to lie in the area of whoever signs.
    const isValid =
        given.startsWith('/') && given.length <= MAX_PATH_LENGTH && !HAS_CONTROL_CHARACTER.test(given);
    if (!isValid || login === undefined) {
        throw invalidParameter('invalid manta_path prefix, not a valid manta path', [
            { field: 'manta_path', code: 'Invalid' },
        ]);
    }
    return { path: `/${names.join('/')}`, login, depth: names.length };
}

/** A part of a file name: stays within its directory, and can be sent. */
function namePart(value: unknown): string {
    // By way of UTF-8: half a character of a record cannot be part of a URL.
    return Buffer.from(text(value)).toString().replace(NOT_IN_NAMES, '_');
}

/**
 * Where the manifest and the file of an image go: into the directory at the path, else the path is what
 * their names begin with (jobs-and-imports 7.1).
 *
 * @throws what asking the store throws
 */
export async function findExportPaths(
    objects: ObjectStore,
    { path, depth }: ExportPrefix,
    { name, version }: RawImage,
    { compression }: ImageFile,
): Promise<ExportPaths> {
    // Beside an account there are only other accounts.
    const isDirectory = depth === 1 || (await objects.stat(path))?.isDirectory === true;
    const base = isDirectory ? posix.join(path, `${namePart(name)}-${namePart(version)}`) : path;
    return {
        manifest: `${base}.imgmanifest`,
        image: `${base}.zfs${COMPRESSION_EXTENSIONS[compression] ?? ''}`,
    };
}
