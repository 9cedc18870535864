import { imageHasDependentImages } from '../base/errors.js';
import type { Filter } from '../database/query.js';
import type { RawImage } from '../manifest/types.js';
import { storeChange } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { savesAs } from './failures.js';
import { possibleFiles } from './image-files.js';
import { type Cleanup, withCleanup } from './image-task.js';
import { loadOwnImage } from './load.js';

/** @throws 422 `ImageHasDependentImages` */
async function requireNoDependents(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    filter: Filter,
): Promise<void> {
    const found = await services.database.search({
        anyOf: [{ ...filter, origin: uuid }],
        order: 'asc',
        signal: context.signal,
    });
    const dependents = found.map((image) => image.raw.uuid).filter((dependent) => dependent !== uuid);
    if (dependents.length > 0) {
        throw imageHasDependentImages(uuid, dependents);
    }
}

/** The channels of an image apart from one; a record may name a channel twice. */
function otherChannels(raw: RawImage, channel: string): readonly string[] {
    return (raw.channels ?? []).filter((name) => name !== channel);
}

async function leaveChannel(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    channel: string,
): Promise<void> {
    await requireNoDependents(services, context, uuid, { channels: [channel] });
    await storeChange(services, uuid, (raw) => ({ ...raw, channels: otherChannels(raw, channel) }));
}

/** Record first, then the bytes, which a failing storage may delay (backends W5). */
async function deleteAll(
    services: ImageServices,
    context: RequestContext,
    image: { readonly raw: RawImage; readonly token: string },
    cleanup: Cleanup,
): Promise<void> {
    const { uuid } = image.raw;
    await requireNoDependents(services, context, uuid, {});
    const files = possibleFiles(services, image.raw);
    cleanup.add(await services.journal.note(uuid, files).catch(savesAs(`could not delete image ${uuid}`)));
    await services.database.del(uuid, image.token);
}

/**
 * DeleteImage: deletes an image with its files and icon, or, while it is in other channels too,
 * only takes it out of the selected one (http-api 3.20).
 *
 * @throws 404, 422 `NotImageOwner`, 422 `ImageHasDependentImages`, 500, 503; bytes that cannot be
 * deleted now are deleted later and are no error
 */
export async function deleteImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    forceAllChannels: boolean,
): Promise<void> {
    await withCleanup(services, [uuid], async (cleanup) => {
        const image = await loadOwnImage(services, context, uuid);
        const { channel } = context;
        const staysElsewhere = channel !== undefined && otherChannels(image.raw, channel).length > 0;
        await (staysElsewhere && !forceAllChannels
            ? leaveChannel(services, context, uuid, channel)
            : deleteAll(services, context, image, cleanup));
    });
}
