import type { StoredImage } from '../database/database.js';
import { ApiError, originDoesNotExist } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue, RawImage } from '../manifest/types.js';
import { accountMayAccess } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';
import { findImage } from './load.js';

/** How sure of its origin a new image has to be. */
export interface OriginOptions {
    readonly originMustBeKnown?: boolean;
    /** One that is not activated counts as none: whoever is making it may still take it back. */
    readonly originMustBeActivated?: boolean;
}

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
 * The origin may have been deleted between its check and the moment its new dependent could be seen;
 * in this process the origin's queue prevents that, in others nothing does (http-api D42). Whoever
 * deletes an image looks for dependents afterwards too, so one of the two always notices.
 *
 * @param options.originMustBeKnown throw, and leave the record to the caller, when the database does not
 * tell; by default the image is kept then
 * @param options.originMustBeActivated by default its state does not matter
 * @returns `stored`
 * @throws 422 `OriginDoesNotExist`, when the record has been deleted again
 */
export async function requireOriginStill(
    services: ImageServices,
    context: RequestContext,
    stored: StoredImage,
    options: OriginOptions = {},
): Promise<StoredImage> {
    const { uuid, origin } = stored.raw;
    try {
        const found = await findOrigin(services, context, origin);
        if (options.originMustBeActivated === true && found?.state === 'unactivated') {
            throw originDoesNotExist(found.uuid);
        }
    } catch (error) {
        if (error instanceof ApiError && error.code === 'OriginDoesNotExist') {
            await services.database.del(uuid, { seen: stored });
            throw error;
        }
        if (options.originMustBeKnown === true) {
            throw error;
        }
        context.log.warn(
            { err: error, uuid, origin },
            'the origin of a new image could not be checked again',
        );
    }
    return stored;
}

/** Where another process was faster, the archive is to have its record, not the one that was refused. */
async function archiveOthers(
    services: ImageServices,
    { log }: RequestContext,
    uuid: string,
    error: unknown,
): Promise<void> {
    if (!(error instanceof ApiError && error.code === 'ImageUuidAlreadyExists')) {
        return;
    }
    try {
        const { raw } = await services.database.get(uuid);
        await services.archive.write(raw);
    } catch (err) {
        log.warn({ err, uuid }, 'the record another process has made could not be archived');
    }
}

/**
 * Archives and stores a new record under a uuid nobody has. Only for tasks that run in the queues of
 * the image and its origin already, all others use {@link storeNewImage}.
 *
 * @throws 409 `ImageUuidAlreadyExists`, 422 `OriginDoesNotExist`, 500, 503
 */
export async function storeFreshImage(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    options: OriginOptions = {},
): Promise<StoredImage> {
    await services.archive.write(raw);
    const stored = await services.database.create(raw).catch(async (error: unknown) => {
        await archiveOthers(services, context, raw.uuid, error);
        throw error;
    });
    return requireOriginStill(services, context, stored, options);
}

/**
 * Archives and stores a new record under a uuid made just now. The caller has checked the origin; its
 * queue is held, so that this process does not delete it before its new dependent can be seen.
 *
 * @throws 422 `OriginDoesNotExist`, 500, 503
 */
export async function storeNewImage(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    options: OriginOptions = {},
): Promise<StoredImage> {
    const uuids = raw.origin === undefined ? [raw.uuid] : [raw.uuid, raw.origin];
    return services.imageQueue.runAll(uuids, () => storeFreshImage(services, context, raw, options));
}
