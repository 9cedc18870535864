import { MAX_ORIGIN_DEPTH, UNSET_OWNER_UUID } from '../base/constants.js';
import { ApiError, notImageOwner, originChainTooLong } from '../base/errors.js';
import { forEachParallel } from '../base/parallel.js';
import { isPublic } from '../manifest/state.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import { requireStoredFile } from './activate-image.js';
import type { ImageServices } from './context.js';
import { requireStorage, storageNameOf } from './image-files.js';
import { unlessGone } from './load.js';

/** What a clone of an image copies. */
export interface CloneChain {
    /** The images to copy: the one without a copied origin first, the one asked for last. */
    readonly images: readonly RawImage[];
    /** The image the first copy keeps as its origin; absent: none. */
    readonly base?: string;
}

/** How many files are looked for in their storages at the same time. */
const FILES_AT_ONCE = 8;

/** The one file of an image that can be cloned. @throws 400 `NotImplemented` */
export function requireOneFile(raw: RawImage): ImageFile {
    const [file, ...others] = raw.files ?? [];
    if (file === undefined || others.length > 0) {
        throw new ApiError('NotImplemented', 'cannot clone images with multiple files');
    }
    return file;
}

/** Follows the origins of an image, one read each, up to the first that everybody has. @throws 404, 500, 503 */
async function collect(services: ImageServices, source: RawImage): Promise<CloneChain> {
    const { adminUuid } = services.config.current;
    const found = new Map([[source.uuid, source]]);
    let { origin } = source;
    while (origin) {
        if (found.has(origin)) {
            throw originChainTooLong();
        }
        const { raw } = await services.database.get(origin);
        if (raw.owner === adminUuid || raw.owner === UNSET_OWNER_UUID) {
            return { images: [...found.values()].reverse(), base: origin };
        }
        if (found.size === MAX_ORIGIN_DEPTH) {
            throw originChainTooLong();
        }
        found.set(origin, raw);
        origin = raw.origin;
    }
    return { images: [...found.values()].reverse() };
}

/** Nobody gets a third account's bytes by way of an increment of them (README, clone of a chain). */
function requireMayCopy(ancestor: RawImage, source: RawImage, account: string): void {
    const { owner, acl, uuid } = ancestor;
    if (owner !== source.owner && owner !== account && !isPublic(ancestor) && !acl.includes(account)) {
        throw notImageOwner(account, uuid);
    }
}

/**
 * Reads the images that a clone of `source` copies and makes sure that all of them can be: they exist,
 * the account may have them, and each has exactly one file, which is in its storage
 * (jobs-and-imports 4, 8.1 #9).
 *
 * @throws 400 `NotImplemented`, 404, 422 `NotImageOwner`, 500, 503
 */
export async function readCloneChain(
    services: ImageServices,
    source: RawImage,
    account: string,
): Promise<CloneChain> {
    requireOneFile(source);
    const chain = await collect(services, source);
    const nearestFirst = [...chain.images].reverse();
    nearestFirst.slice(1).forEach((ancestor) => requireMayCopy(ancestor, source, account));
    nearestFirst.forEach(requireOneFile);
    await forEachParallel(nearestFirst, FILES_AT_ONCE, async (raw) => {
        const file = requireOneFile(raw);
        const storage = requireStorage(services, storageNameOf(file));
        await unlessGone(services, raw, () => requireStoredFile(storage, raw.uuid, 0, file));
    });
    return chain;
}
