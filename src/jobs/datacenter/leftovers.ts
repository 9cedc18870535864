import { imageUuidAlreadyExists } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import type { RequestContext } from '../../images/context.js';
import { deleteAll } from '../../images/delete-image.js';
import { importIdOf } from '../../manifest/import-id.js';
import { findImage } from '../../images/load.js';
import { ownContext } from '../../images/own-context.js';
import { meansAbsent } from '../../maintenance/record-exists.js';
import type { RawImage } from '../../manifest/types.js';
import type { JobServices } from '../services.js';
import { isLeft } from './copy-state.js';

/**
 * Deletes a record that nobody needs any more, with its files, if it is still as it was judged.
 *
 * @throws 409 `ImageUuidAlreadyExists` when it has changed, 422 `ImageHasDependentImages`, 500, 503
 */
export async function deleteUnfinished(
    { images }: JobServices,
    context: RequestContext,
    uuid: string,
    judged: Pick<RawImage, 'state' | 'x_imgapi'>,
): Promise<void> {
    const mayGo = (raw: RawImage): void => {
        if (raw.state !== judged.state || importIdOf(raw) !== importIdOf(judged)) {
            throw imageUuidAlreadyExists(uuid);
        }
    };
    try {
        await images.imageQueue.run(uuid, () => deleteAll(images, ownContext(context), uuid, mayGo));
    } catch (error) {
        if (!meansAbsent(error, uuid)) {
            throw error;
        }
    }
}

/** What to make room for. */
export interface RoomNeeded {
    /** The record under the image's own uuid; absent: there is none. */
    readonly stored?: StoredImage;
    /** Origins that come with the image, nearest first. */
    readonly origins: readonly string[];
}

/**
 * Deletes what dead jobs have left under the uuids of a new copy (jobs-and-imports 8.2): the image first, so
 * that no record is ever without its origin.
 *
 * @throws as {@link deleteUnfinished}
 */
export async function makeRoom(
    services: JobServices,
    context: RequestContext,
    { stored, origins }: RoomNeeded,
): Promise<void> {
    if (stored !== undefined) {
        await deleteUnfinished(services, context, stored.raw.uuid, stored.raw);
    }
    for (const uuid of origins) {
        const origin = await findImage(services.images, uuid);
        if (origin === undefined || importIdOf(origin.raw) === undefined) {
            continue;
        }
        if (isLeft(origin.raw, await services.engine.active(uuid, context.signal, true))) {
            await deleteUnfinished(services, context, uuid, origin.raw);
        }
    }
}
