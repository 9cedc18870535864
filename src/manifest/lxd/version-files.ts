import type { FileCompression } from '../../base/constants.js';
import { ApiError } from '../../base/errors.js';
import { isObject } from '../coerce.js';
import type { LxdFile, LxdVersion } from './lxd-image.js';
import { type Members, objectIn, textIn } from './members.js';

/** The item that holds metadata and file system. */
const COMBINED = 'lxd_combined.tar.gz';
/** The item that holds the metadata alone. */
const METADATA = 'lxd.tar.xz';

/** File systems in the order of preference, and where the metadata item has the fingerprint of both together. */
const FILE_SYSTEMS: readonly { readonly ftype: string; readonly fingerprints: readonly string[] }[] = [
    { ftype: 'squashfs', fingerprints: ['combined_squashfs_sha256'] },
    { ftype: 'root.tar.xz', fingerprints: ['combined_rootxz_sha256', 'combined_sha256'] },
    { ftype: 'disk-kvm.img', fingerprints: ['combined_disk-kvm-img_sha256'] },
    { ftype: 'uefi1.img', fingerprints: ['combined_uefi1-img_sha256'] },
    { ftype: 'disk1.img', fingerprints: ['combined_disk1-img_sha256'] },
];

const COMPRESSIONS: readonly (readonly [ending: string, compression: FileCompression])[] = [
    ['.xz', 'xz'],
    ['.gz', 'gzip'],
    ['.bz2', 'bzip2'],
];

const SHA256_RE = /^[0-9a-f]{64}$/;

function sha256In(item: Members, key: string): string | undefined {
    const hex = textIn(item, key)?.toLowerCase();
    return hex !== undefined && SHA256_RE.test(hex) ? hex : undefined;
}

function compressionOf(path: string): FileCompression {
    return COMPRESSIONS.find(([ending]) => path.endsWith(ending))?.[1] ?? 'none';
}

/** The file an item announces; `undefined`: nobody could get and check it. */
function fileOf(item: Members): LxdFile | undefined {
    const path = textIn(item, 'path');
    const sha256 = sha256In(item, 'sha256');
    const size = Object.hasOwn(item, 'size') ? item['size'] : undefined;
    if (path === undefined || sha256 === undefined || !Number.isInteger(size) || Number(size) <= 0) {
        return undefined;
    }
    return { path, size: Number(size), sha256, compression: compressionOf(path) };
}

function combined(version: string, items: Members): LxdVersion | undefined {
    const item = objectIn(items, COMBINED);
    const file = item === undefined ? undefined : fileOf(item);
    return file && { version, fingerprint: file.sha256, ftype: COMBINED, files: [file] };
}

/** @returns what is missing, if the version cannot be used */
function split(version: string, items: Members): LxdVersion | string {
    const item = objectIn(items, METADATA);
    const metadata = item === undefined ? undefined : fileOf(item);
    if (item === undefined || metadata === undefined) {
        // The name is what clients of the existing server know.
        return 'No "lxd.tar.gz" item';
    }
    const others = Object.values(items).filter(isObject);
    for (const { ftype, fingerprints } of FILE_SYSTEMS) {
        const fingerprint = fingerprints.map((key) => sha256In(item, key)).find((hex) => hex !== undefined);
        const root = others
            .filter((one) => textIn(one, 'ftype') === ftype)
            .map(fileOf)
            .find((file) => file !== undefined);
        if (fingerprint !== undefined && root !== undefined) {
            return { version, fingerprint, ftype, files: [metadata, root] };
        }
    }
    return 'No filesystem';
}

/**
 * The files of the newest version whose files can be had and checked (jobs-and-imports 6).
 *
 * @param versions of a product, of whatever form
 * @throws 404 `NotFound`: what the newest version lacks, if none is usable
 */
export function newestVersion(versions: Members, product: string): LxdVersion {
    let lacks: string | undefined;
    for (const version of Object.keys(versions).sort().reverse()) {
        const items = objectIn(objectIn(versions, version), 'items') ?? {};
        const found = combined(version, items) ?? split(version, items);
        if (typeof found !== 'string') {
            return found;
        }
        lacks ??= found;
    }
    throw new ApiError('NotFound', `${lacks ?? 'No version'} found for image ${product}`);
}
