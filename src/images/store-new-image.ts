import type { StoredImage } from '../database/database.js';
import { imageUuidAlreadyExists, originDoesNotExist } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue, RawImage } from '../manifest/types.js';
import { accountMayAccess } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';
import { type Cleanup, withCleanup } from './image-task.js';
import { findImage } from './load.js';

/**
 * Finds the image a new one names as its origin; its state does not matter (http-api 3.3 #7, D58).
 *
 * @param origin as sent; a falsy value means "no origin"
 * @returns `undefined` when there is no origin
 * @throws 422 `OriginDoesNotExist`, also for an origin the calling account may not access
 */
export async function findOrigin(
    services: ImageServices,
    context: RequestContext,
    origin: JsonValue | undefined,
): Promise<RawImage | undefined> {
    if (origin === undefined || origin === null || origin === '' || origin === 0 || origin === false) {
        return undefined;
    }
    const image = isUuid(origin) ? await findImage(services, origin) : undefined;
    const { account } = context;
    if (image === undefined || (account !== undefined && !accountMayAccess(image.raw, account))) {
        throw originDoesNotExist(text(origin));
    }
    return image.raw;
}

/**
 * Archives and stores a new record. The origin's queue is held too, so that it cannot be deleted
 * between its check and the moment its new dependent can be seen (http-api D42).
 *
 * @param replace what to do when an image with this uuid exists; by default that is an error
 * @throws 409 `ImageUuidAlreadyExists`, 422 `OriginDoesNotExist`, 500, 503, what `replace` throws
 */
export async function storeNewImage(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    replace?: (existing: StoredImage, cleanup: Cleanup) => Promise<StoredImage>,
): Promise<StoredImage> {
    const uuids = raw.origin === undefined ? [raw.uuid] : [raw.uuid, raw.origin];
    return withCleanup(services, uuids, async (cleanup) => {
        await findOrigin(services, context, raw.origin);
        const existing = await findImage(services, raw.uuid);
        if (existing === undefined) {
            await services.archive.write(raw);
            return services.database.create(raw);
        }
        if (replace === undefined) {
            throw imageUuidAlreadyExists(raw.uuid);
        }
        return replace(existing, cleanup);
    });
}
