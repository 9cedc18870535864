import { MAX_ORIGIN_DEPTH } from '../base/constants.js';
import { ApiError, notAUuid, notImageOwner, resourceNotFound } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import type { StoredImage } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import { accountMayAccess } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';

/**
 * Refuses an `account` that is no UUID (http-api 1.12 LOAD 1 and OWNER).
 *
 * @param account `undefined`: an operator call
 * @throws 422 `InvalidParameter`
 */
export function requireAccountUuid(account: string | undefined): void {
    if (account !== undefined && !isUuid(account)) {
        throw notAUuid('account', account);
    }
}

function hidden(): ApiError {
    return resourceNotFound('image not found');
}

/** @throws 404 `image not found` when the image is not in the selected channel */
function requireChannel({ channel }: RequestContext, raw: RawImage): void {
    if (channel !== undefined && raw.channels?.includes(channel) !== true) {
        throw hidden();
    }
}

function mayAccess({ account }: RequestContext, raw: RawImage): boolean {
    return account === undefined || accountMayAccess(raw, account);
}

/**
 * Makes sure that the call may know of an image: it is in the selected channel, and the account, if
 * there is one, may access it (http-api 1.12 LOAD 3 and 4, 1.15).
 *
 * @throws 404 `image not found`
 */
export function requireAccess(context: RequestContext, raw: RawImage): void {
    requireChannel(context, raw);
    if (!mayAccess(context, raw)) {
        throw hidden();
    }
}

/**
 * Makes sure that a call made for an account is made for the image's owner (http-api 1.12 OWNER).
 *
 * @throws 422 `NotImageOwner`
 */
export function requireOwner(context: RequestContext, raw: RawImage): void {
    if (context.account !== undefined && context.account !== raw.owner) {
        throw notImageOwner(context.account, raw.uuid);
    }
}

/** Whether one image is an ancestor of another (jobs-and-imports 8.1 #2). @throws 503; the signal's reason */
async function isAncestor(
    services: ImageServices,
    { signal }: RequestContext,
    uuid: string,
    descendant: RawImage,
): Promise<boolean> {
    let { origin } = descendant;
    const passed = new Set([descendant.uuid]);
    for (let step = 1; step <= MAX_ORIGIN_DEPTH && origin; step += 1) {
        signal.throwIfAborted();
        if (origin === uuid) {
            return true;
        }
        if (passed.has(origin)) {
            return false;
        }
        passed.add(origin);
        origin = (await findImage(services, origin))?.raw.origin;
    }
    return false;
}

/** Whether an image is an ancestor of one that the call may know of, see {@link loadImage}. @throws 503 */
async function isVisibleVia(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    via: string,
): Promise<boolean> {
    const descendant = await findImage(services, via);
    return (
        descendant !== undefined &&
        mayAccess(context, descendant.raw) &&
        (await isAncestor(services, context, uuid, descendant.raw))
    );
}

/**
 * Reads an image the call may know of (http-api 1.12 LOAD 2-4).
 *
 * @param via an image based on this one: who may access that may know of this one too, whatever
 * channel that is in (jobs-and-imports 8.1 #2)
 * @throws 404 when it is absent, invalid, in another channel or hidden from the account; 503 when
 * the database cannot be reached
 */
export async function loadImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    via?: string,
): Promise<StoredImage> {
    const image = await services.database.get(uuid);
    requireChannel(context, image.raw);
    if (mayAccess(context, image.raw)) {
        return image;
    }
    if (via === undefined || !(await isVisibleVia(services, context, uuid, via))) {
        throw hidden();
    }
    return image;
}

/**
 * Reads an image the call may change (http-api 1.12 LOAD and OWNER).
 *
 * @throws as {@link loadImage} and {@link requireOwner}
 */
export async function loadOwnImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
): Promise<StoredImage> {
    const image = await loadImage(services, context, uuid);
    requireOwner(context, image.raw);
    return image;
}

/**
 * The image the call may change, as the request has read it already if it has.
 *
 * @throws as {@link loadOwnImage}
 */
export async function ownImageSeen(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
): Promise<StoredImage> {
    return context.seen?.raw.uuid === uuid ? context.seen : loadOwnImage(services, context, uuid);
}

/** Reads an image whoever asks; `undefined` when there is none. @throws 503 */
export async function findImage(services: ImageServices, uuid: string): Promise<StoredImage | undefined> {
    try {
        return await services.database.get(uuid);
    } catch (error) {
        if (error instanceof ApiError && error.code === 'ResourceNotFound') {
            return undefined;
        }
        throw error;
    }
}

/**
 * Does something with the file of an image. Another process may delete the image meanwhile: then that is
 * the failure, and not that the file is missing.
 *
 * @throws 404 `image <uuid> not found`, 503, what `work` throws
 */
export async function unlessGone(
    services: ImageServices,
    { uuid }: RawImage,
    work: () => Promise<void>,
): Promise<void> {
    try {
        await work();
    } catch (error) {
        await services.database.get(uuid);
        throw error;
    }
}
