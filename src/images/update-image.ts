import { ApiError, imageUuidAlreadyExists } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import type { StoredImage } from '../database/database.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue, RawImage } from '../manifest/types.js';
import { applyUpdate } from '../manifest/update.js';
import { changeImage, type Precondition } from './change-image.js';
import { inClaimedPlaces } from './claimed-places.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs, savesAs } from './failures.js';
import { recordedFiles, requireStorage } from './image-files.js';
import type { Cleanup } from './image-task.js';
import { findImage, requireAccess, requireOwner, unlessGone } from './load.js';
import { isJsonObject, requireUpdateObject } from './object-rule.js';
import { requireKnownOwner } from './owner-check.js';
import { channelNames, manifestRules } from './rules.js';

/** Merges the body into a record and checks the result (http-api 3.15 #1-#11). */
async function updated(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    body: JsonValue | undefined,
): Promise<RawImage> {
    const config = services.config.current;
    const next = applyUpdate(raw, requireUpdateObject(body), {
        rules: manifestRules(config),
        channelNames: channelNames(config),
        accountGiven: context.accountGiven ?? context.account !== undefined,
    });
    await requireKnownOwner(services, next.owner);
    return next;
}

/**
 * Makes the files of an image visible under another uuid as well. Both copies are noted as pending
 * deletes first: when all is over, the ones no record names go (backends W12).
 */
async function copyFiles(
    services: ImageServices,
    raw: RawImage,
    uuid: string,
    cleanup: Cleanup,
): Promise<void> {
    const files = recordedFiles(raw);
    if (files.length === 0) {
        return;
    }
    const storages = files.map((file) => requireStorage(services, file.stor));
    for (const noted of [raw.uuid, uuid]) {
        const entry = services.journal.note(noted, files);
        cleanup.add(await entry.catch(savesAs(`error modifying image ${raw.uuid}`)));
    }
    for (const [index, file] of files.entries()) {
        const copy = async (): Promise<void> => storages[index]?.copy(raw.uuid, uuid, file.name);
        await unlessGone(services, raw, () => copy().catch(failsAs('error moving image file')));
    }
}

/** Gives an image a new uuid, its files too (http-api 3.15 #12, #13). Runs in both images' queues. */
async function prepareMove(
    services: ImageServices,
    raw: RawImage,
    next: RawImage,
    cleanup: Cleanup,
): Promise<RawImage> {
    if ((raw.files?.length ?? 0) > 1) {
        throw new ApiError('NotImplemented', 'cannot move images with multiple files');
    }
    if ((await findImage(services, next.uuid)) !== undefined) {
        throw imageUuidAlreadyExists(next.uuid);
    }
    await copyFiles(services, raw, next.uuid, cleanup);
    await services.archive.write(next);
    return next;
}

/** The uuid a body wants the image to have, if that is another one. */
function wantedUuid(uuid: string, body: JsonValue | undefined): string | undefined {
    // As text, since the manifest rules take a uuid in an array for the uuid.
    const wanted = isJsonObject(body) ? text(body['uuid']) : '';
    return isUuid(wanted) && wanted !== uuid ? wanted : undefined;
}

/**
 * UpdateImage: replaces fields, removes those given as `null`, and moves the image when its uuid is
 * among them (http-api 3.15).
 *
 * @param body `undefined`: absent
 * @throws 400 `NotImplemented`, 404, 409 `ImageUuidAlreadyExists`, 412, 422, 500, 503
 */
export async function updateImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    body: JsonValue | undefined,
    precondition?: Precondition,
): Promise<StoredImage> {
    const newUuid = wantedUuid(uuid, body);
    if (newUuid === undefined) {
        const change = async (raw: RawImage) => ({ ...(await updated(services, context, raw, body)) });
        return changeImage(services, context, uuid, change, precondition);
    }
    const uuids = [uuid, newUuid];
    const options = { log: context.log, failure: `error modifying image ${uuid}` };
    return services.imageQueue.runAll(uuids, () =>
        inClaimedPlaces(services, uuids, options, (cleanup) => {
            const change = async (raw: RawImage): Promise<RawImage> => {
                requireAccess(context, raw);
                requireOwner(context, raw);
                precondition?.(raw);
                return prepareMove(services, raw, await updated(services, context, raw, body), cleanup);
            };
            return services.database.move(uuid, newUuid, change, context.seen);
        }),
    );
}
