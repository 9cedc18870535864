import { imageAlreadyActivated } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { isActivated } from '../manifest/state.js';
import { storeChange } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { savesAs } from './failures.js';
import { fileName, storageNameOf } from './image-files.js';
import { withCleanup } from './image-task.js';
import { loadOwnImage } from './load.js';

/**
 * Takes the files that an image has no more out of its record, and deletes their bytes.
 *
 * @param count files that stay, from the first on; at least 1
 * @throws 404, 422 `ImageAlreadyActivated`, 500, 503
 */
export async function dropFilesBehind(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    count: number,
): Promise<StoredImage> {
    const failed = savesAs('could not save image');
    return withCleanup(services, [uuid], async (cleanup) => {
        const seen = await loadOwnImage(services, context, uuid);
        const behind = (seen.raw.files ?? [])
            .map((file, index) => ({ stor: storageNameOf(file), name: fileName(index) }))
            .slice(count);
        cleanup.add(await services.journal.note(uuid, behind).catch(failed));
        return storeChange(
            services,
            uuid,
            (raw) => {
                if (isActivated(raw)) {
                    throw imageAlreadyActivated(uuid);
                }
                return { ...raw, files: (raw.files ?? []).slice(0, count) };
            },
            { seen },
        ).catch(failed);
    });
}
