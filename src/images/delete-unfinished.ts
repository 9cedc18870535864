import { imageUuidAlreadyExists } from '../base/errors.js';
import type { ImageServices, RequestContext } from './context.js';
import { deleteAll } from './delete-image.js';
import { ownContext } from './own-context.js';
import { meansAbsent } from '../maintenance/record-exists.js';
import { importIdOf } from '../manifest/import-id.js';
import type { RawImage } from '../manifest/types.js';

/** How long the removal of a placeholder that nobody needs may take, milliseconds. */
const REMOVAL_LIMIT_MS = 30_000;

/**
 * Deletes a record that nobody needs any more, with its files, if it is still as it was judged.
 *
 * @throws 409 `ImageUuidAlreadyExists` when it has changed, 422 `ImageHasDependentImages`, 500, 503
 */
export async function deleteUnfinished(
    services: ImageServices,
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
        await services.imageQueue.run(uuid, () => deleteAll(services, ownContext(context), uuid, mayGo));
    } catch (error) {
        if (!meansAbsent(error, uuid)) {
            throw error;
        }
    }
}

/**
 * Removes the placeholder of an image that no job will make, also for a client that has gone. Never
 * rejects: what cannot be removed now goes when it expires.
 */
export async function removePlaceholder(
    services: ImageServices,
    context: RequestContext,
    placeholder: RawImage,
): Promise<void> {
    const { uuid } = placeholder;
    const limited = { ...context, signal: AbortSignal.timeout(REMOVAL_LIMIT_MS) };
    try {
        await deleteUnfinished(services, limited, uuid, placeholder);
    } catch (err) {
        context.log.warn({ err, uuid }, 'the placeholder of an image that will not be made stays');
    }
}
