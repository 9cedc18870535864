import { ApiError } from '../base/errors.js';
import { meansAbsent } from '../maintenance/record-exists.js';
import type { RawImage } from '../manifest/types.js';
import type { PendingClone } from '../storage/clone-journal.js';
import type { ImageServices, RequestContext } from './context.js';
import { deleteAll } from './delete-image.js';
import { fileName } from './image-files.js';
import type { Cleanup } from './image-task.js';

/** Refusals that will not go away: the image is in use. */
const KEPT: ReadonlySet<string> = new Set(['ImageAlreadyActivated', 'ImageHasDependentImages']);

async function deleteClone(
    services: ImageServices,
    context: RequestContext,
    { uuid, stor }: PendingClone,
    mayGo: (raw: RawImage) => void,
    cleanup: Cleanup,
): Promise<void> {
    try {
        await deleteAll(services, context, uuid, mayGo);
    } catch (error) {
        if (!meansAbsent(error, uuid)) {
            throw error;
        }
        // Its bytes may be there all the same.
        cleanup.add(await services.journal.note(uuid, [{ stor, name: fileName(0) }]));
    }
}

/**
 * Deletes the clones of a request, the newest first, so that no record ever names an origin that is
 * gone. It runs in their queues. One that somebody uses already ends it: that one and its origins stay.
 *
 * @param mayGo judges each record that is about to go, and throws `ImageAlreadyActivated` to keep it
 * @throws 500, 503 when one could not be deleted now
 */
export async function deleteClones(
    services: ImageServices,
    context: RequestContext,
    clones: readonly PendingClone[],
    mayGo: (raw: RawImage) => void,
    cleanup: Cleanup,
): Promise<void> {
    for (const clone of [...clones].reverse()) {
        try {
            await deleteClone(services, context, clone, mayGo, cleanup);
        } catch (error) {
            if (error instanceof ApiError && KEPT.has(error.code)) {
                context.log.info({ err: error, uuid: clone.uuid }, 'clone is in use: it stays');
                return;
            }
            throw error;
        }
    }
}
