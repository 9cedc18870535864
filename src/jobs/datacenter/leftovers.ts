import type { StoredImage } from '../../database/database.js';
import type { RequestContext } from '../../images/context.js';
import { importIdOf } from '../../manifest/import-id.js';
import { findImage } from '../../images/load.js';
import { deleteUnfinished } from '../../images/delete-unfinished.js';
import type { JobServices } from '../services.js';
import { isLeft } from './copy-state.js';

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
        await deleteUnfinished(services.images, context, stored.raw.uuid, stored.raw);
    }
    for (const uuid of origins) {
        const origin = await findImage(services.images, uuid);
        if (origin === undefined || importIdOf(origin.raw) === undefined) {
            continue;
        }
        if (isLeft(origin.raw, await services.engine.active(uuid, context.signal, true))) {
            await deleteUnfinished(services.images, context, uuid, origin.raw);
        }
    }
}
