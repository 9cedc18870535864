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

/**
 * Makes sure that the call may know of an image: it is in the selected channel, and the account, if
 * there is one, may access it (http-api 1.12 LOAD 3 and 4, 1.15).
 *
 * @throws 404 `image not found`
 */
export function requireAccess(context: RequestContext, raw: RawImage): void {
    const { channel, account } = context;
    const inChannel = channel === undefined || raw.channels?.includes(channel) === true;
    if (!inChannel || (account !== undefined && !accountMayAccess(raw, account))) {
        throw resourceNotFound('image not found');
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

/**
 * Reads an image the call may know of (http-api 1.12 LOAD 2-4).
 *
 * @throws 404 when it is absent, invalid, in another channel or hidden from the account; 503 when
 * the database cannot be reached
 */
export async function loadImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
): Promise<StoredImage> {
    const image = await services.database.get(uuid);
    requireAccess(context, image.raw);
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
