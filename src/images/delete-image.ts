import { ApiError, imageHasDependentImages, serviceUnavailable } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { Filter } from '../database/query.js';
import type { RawImage } from '../manifest/types.js';
import { type Draft, storeChange } from './change-image.js';
import { inClaimedPlaces } from './claimed-places.js';
import type { ImageServices, RequestContext } from './context.js';
import { savesAs } from './failures.js';
import { possibleFiles } from './image-files.js';
import type { Cleanup } from './image-task.js';
import { ownImageSeen, requireAccess, requireOwner } from './load.js';
import { forgetAside } from './recover-uploads.js';

function failureOf(uuid: string): string {
    return `could not delete image ${uuid}`;
}

/** @param signal ends the search; absent: it goes on to its end. @throws 422 `ImageHasDependentImages` */
export async function requireNoDependents(
    services: ImageServices,
    uuid: string,
    filter: Filter,
    signal?: AbortSignal,
): Promise<void> {
    const found = await services.database.search({
        anyOf: [{ ...filter, origin: uuid }],
        order: 'asc',
        ...(signal === undefined ? {} : { signal }),
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

function changedMeanwhile(why: string): ApiError {
    return serviceUnavailable('service unavailable', 1, new Error(why));
}

async function leaveChannel(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    channel: string,
): Promise<void> {
    await requireNoDependents(services, uuid, { channels: [channel] }, context.signal);
    const change = (raw: RawImage): Draft => {
        requireAccess(context, raw);
        requireOwner(context, raw);
        const channels = otherChannels(raw, channel);
        if (channels.length === 0) {
            // In no channel nobody would find it; the next try deletes it.
            throw changedMeanwhile('taken out of its other channels meanwhile');
        }
        return { ...raw, channels };
    };
    await storeChange(services, uuid, change, { seen: context.seen });
}

/**
 * Another process may have made a dependent between the check and the deletion: then the record comes
 * back, its files are still there (see {@link inClaimedPlaces}). The other process makes sure of its origin
 * after its record is stored, so one of the two always notices.
 */
async function restoreIfNeeded(
    services: ImageServices,
    context: RequestContext,
    deleted: RawImage,
): Promise<void> {
    const { uuid } = deleted;
    try {
        // Also for a client that has gone: the deletion is done.
        await requireNoDependents(services, uuid, {});
    } catch (error) {
        if (error instanceof ApiError && error.code === 'ImageHasDependentImages') {
            await services.database.create(deleted);
            throw error;
        }
        context.log.warn({ err: error, uuid }, 'dependents of a deleted image could not be looked for');
    }
}

/**
 * Notes all files of an image that is about to go. Those that are most likely not there are left to the
 * next pass: their storage may be away, and nothing of the image would be in it.
 */
export async function noteFiles(services: ImageServices, raw: RawImage, cleanup: Cleanup): Promise<void> {
    const { uuid } = raw;
    const { near, elsewhere } = possibleFiles(services, raw);
    const failed = savesAs(failureOf(uuid));
    const later = await services.journal.note(uuid, elsewhere).catch(failed);
    const leave = (): Promise<void> => {
        later.leave();
        return Promise.resolve();
    };
    cleanup.add({ ...later, finish: leave });
    cleanup.add(await services.journal.note(uuid, near).catch(failed));
}

/** Deletes a record, and notes its files for deletion. Runs in the image's queue, its places claimed. */
async function deleteRecord(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    mayGo: (raw: RawImage) => void,
    cleanup: Cleanup,
): Promise<void> {
    let deleted: RawImage | undefined;
    const check = async ({ raw }: StoredImage): Promise<void> => {
        mayGo(raw);
        await requireNoDependents(services, uuid, {}, context.signal);
        await noteFiles(services, raw, cleanup);
        deleted = raw;
    };
    await services.database.del(uuid, {
        check,
        ...(context.seen === undefined ? {} : { seen: context.seen }),
    });
    if (deleted !== undefined) {
        await restoreIfNeeded(services, context, deleted);
        await forgetAside(services, uuid, context.log);
    }
}

/**
 * Deletes an image without dependents: record first, then the bytes, which a failing storage may delay
 * (backends W5). Only for tasks that run in the image's queue already, all others use
 * {@link deleteImage}.
 *
 * @param mayGo judges the record that is about to go, and throws to keep it
 * @throws what `mayGo` throws, 404, 422 `ImageHasDependentImages`, 500, 503
 */
export async function deleteAll(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    mayGo: (raw: RawImage) => void,
): Promise<void> {
    const options = { log: context.log, failure: failureOf(uuid) };
    await inClaimedPlaces(services, [uuid], options, (cleanup) =>
        deleteRecord(services, context, uuid, mayGo, cleanup),
    );
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
    const { channel } = context;
    const staysElsewhere = (raw: RawImage): boolean =>
        channel !== undefined && !forceAllChannels && otherChannels(raw, channel).length > 0;
    await services.imageQueue.run(uuid, async () => {
        const { raw } = await ownImageSeen(services, context, uuid);
        if (channel !== undefined && staysElsewhere(raw)) {
            await leaveChannel(services, context, uuid, channel);
            return;
        }
        const mayGo = (current: RawImage): void => {
            requireAccess(context, current);
            requireOwner(context, current);
            if (staysElsewhere(current)) {
                throw changedMeanwhile('added to a channel meanwhile');
            }
        };
        await deleteAll(services, context, uuid, mayGo);
    });
}
