import type { RawImage } from '../manifest/types.js';
import { isPlaceholder } from '../manifest/state.js';
import { type Draft, storeChange } from './change-image.js';
import { inClaimedPlaces } from './claimed-places.js';
import type { ImageServices, RequestContext } from './context.js';
import { noteFiles, requireNoDependents } from './delete-image.js';
import { ownImageSeen, requireAccess, requireOwner } from './load.js';
import { forgetAside } from './recover-uploads.js';

/**
 * Takes an image back to the placeholder it was made from: one change of the record, so that there is
 * never none, then its files are deleted as those of a deleted image. A placeholder stays as it is.
 *
 * @param placeholder the record to put in its place, of the same uuid
 * @throws 404, 422 `NotImageOwner`, 422 `ImageHasDependentImages`, 500, 503
 */
export async function restorePlaceholder(
    services: ImageServices,
    context: RequestContext,
    placeholder: RawImage,
): Promise<void> {
    const { uuid } = placeholder;
    const options = { log: context.log, failure: `could not delete image ${uuid}` };
    await services.imageQueue.run(uuid, async () => {
        const seen = await ownImageSeen(services, context, uuid);
        await inClaimedPlaces(services, [uuid], options, async (cleanup) => {
            const change = async (raw: RawImage): Promise<Draft | undefined> => {
                requireAccess(context, raw);
                requireOwner(context, raw);
                if (isPlaceholder(raw)) {
                    return undefined;
                }
                await requireNoDependents(services, uuid, {}, context.signal);
                await noteFiles(services, raw, cleanup);
                return { ...placeholder };
            };
            await storeChange(services, uuid, change, { seen });
            await forgetAside(services, uuid, context.log);
        });
    });
}
