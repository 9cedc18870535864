import type { StoredImage } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import { type Draft, storeChange, withoutKeys } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs, savesAs } from './failures.js';
import { requireStorage, storageNameOf } from './image-files.js';
import { withCleanup } from './image-task.js';
import { loadOwnImage } from './load.js';
import { findImageIcon } from './open-file.js';

/** Message when the record cannot be saved (http-api 3.12). */
const SAVE_FAILURE = 'could not delete icon';

/**
 * DeleteImageIcon (http-api 3.12). A storage that cannot be used is noticed before anything is
 * changed; once the record is saved the icon is gone for everyone, and its bytes follow.
 *
 * @throws 404, 422 `NotImageOwner`, 500, 503
 */
export async function deleteImageIcon(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
): Promise<StoredImage> {
    return withCleanup(services, [uuid], async (cleanup) => {
        const image = await loadOwnImage(services, context, uuid);
        const stor = storageNameOf(findImageIcon(image));
        await requireStorage(services, stor).stat(uuid, 'icon').catch(failsAs('error deleting image icon'));
        const change = async (raw: RawImage): Promise<Draft> => {
            // Another process may have moved it, so the very record that changes says where it is.
            const place = { stor: storageNameOf(raw.icon ?? {}), name: 'icon' };
            cleanup.add(await services.journal.note(uuid, [place]));
            return withoutKeys(raw, 'icon');
        };
        return storeChange(services, uuid, change, { seen: image }).catch(savesAs(SAVE_FAILURE));
    });
}
