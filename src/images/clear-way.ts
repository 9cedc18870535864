import { ApiError, imageUuidAlreadyExists } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { importIdOf } from '../manifest/import-id.js';
import { provenanceOf } from '../manifest/provenance.js';
import type { RawImage } from '../manifest/types.js';
import { awaitOthers } from './await-others.js';
import type { ImageServices, RequestContext } from './context.js';
import { deleteUnfinished } from './delete-unfinished.js';
import { findImage } from './load.js';

/** How often a record is looked at that others change all the time. */
const MAX_LOOKS = 5;

/** Whether a pull has made a record: jobs, too, mark theirs, but say where the image comes from. */
export function isOfPull(raw: RawImage): boolean {
    return importIdOf(raw) !== undefined && provenanceOf(raw) === undefined;
}

/** The record as its maker leaves it; `undefined`: it is gone. @throws the reason of the signal, 503 */
async function afterOthers(
    services: ImageServices,
    { signal }: RequestContext,
    found: StoredImage,
): Promise<StoredImage | undefined> {
    const { databaseType } = services.config.current;
    // Pulls of this process have their turns, and no other one writes to this database.
    const isLeft = databaseType === 'local' && isOfPull(found.raw);
    return isLeft ? found : awaitOthers(services, found.raw.uuid, signal);
}

/** @returns whether it is gone @throws ApiError when it has to stay */
async function removeLeft(
    services: ImageServices,
    context: RequestContext,
    left: StoredImage,
): Promise<boolean> {
    const { uuid } = left.raw;
    try {
        await deleteUnfinished(services, context, uuid, left.raw);
        context.log.info({ uuid }, 'took away the unactivated record that a pull has left');
        return true;
    } catch (error) {
        if (error instanceof ApiError && error.code === 'ImageUuidAlreadyExists') {
            return false;
        }
        throw error;
    }
}

/**
 * Clears the way for a pull that makes an image, in its turn for that among those of this process. Another
 * process may be making the same image, which is waited for while it gets on; what one has left that was killed
 * goes. Records that are no pull's stay.
 *
 * @returns the image, if it is here already, in any state but `unactivated`
 * @throws 409 `ImageUuidAlreadyExists`, 422, 503; the reason of the context's signal
 */
export async function clearWay(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
): Promise<StoredImage | undefined> {
    for (let looks = 1; looks <= MAX_LOOKS; looks += 1) {
        const first = await findImage(services, uuid);
        const found =
            first?.raw.state === 'unactivated' ? await afterOthers(services, context, first) : first;
        if (found?.raw.state !== 'unactivated') {
            return found;
        }
        if (!isOfPull(found.raw)) {
            break;
        }
        if (await removeLeft(services, context, found)) {
            return undefined;
        }
    }
    throw imageUuidAlreadyExists(uuid);
}
