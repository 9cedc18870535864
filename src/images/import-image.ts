import semver from 'semver';
import { imageUuidAlreadyExists, invalidParameter, operatorOnly } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import type { StoredImage } from '../database/database.js';
import { text } from '../manifest/coerce.js';
import type { JsonObject, JsonValue, RawImage } from '../manifest/types.js';
import { upgradeManifest } from '../manifest/upgrade.js';
import { type Draft, storeChange } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { savesAs } from './failures.js';
import { recordedFiles } from './image-files.js';
import { type Cleanup, withCleanup } from './image-task.js';
import { findImage } from './load.js';
import { newRecord } from './new-record.js';
import { isJsonObject } from './object-rule.js';
import { ownerHere, requireKnownOwner } from './owner-check.js';
import { findOrigin, requireOriginStill, storeFreshImage } from './store-new-image.js';

/** First imgadm that sets `min_platform` of lx images right (http-api 3.4). */
const FIRST_SOUND_IMGADM = '3.7.4';

/** How an import is done. */
export interface ImportOptions {
    /** Reads `skip_owner_check` when its turn comes; may throw 422. */
    readonly skipOwnerCheck: () => boolean;
}

/** Refuses to replace a record. @throws 409 `ImageUuidAlreadyExists` */
export type MayReplace = (raw: RawImage) => void;

/** Only a placeholder that is being created may be replaced. @throws 409 `ImageUuidAlreadyExists` */
export function requirePlaceholder(raw: RawImage): void {
    if (raw.state !== 'creating') {
        throw imageUuidAlreadyExists(raw.uuid);
    }
}

/** @throws 422 `InvalidParameter` */
function requireSameUuid(uuid: string, data: JsonObject): void {
    if (data['uuid'] !== uuid) {
        const given = text(data['uuid']);
        throw invalidParameter(`URL UUID, "${uuid}" and body UUID, "${given}" do not match`, [
            { field: 'uuid', code: 'Invalid' },
        ]);
    }
}

/** Rewrites the owner for this server and checks it (http-api 3.4, owner rewriting). @throws 422, 503 */
export async function withLocalOwner(
    services: ImageServices,
    data: JsonObject,
    skipOwnerCheck: boolean,
): Promise<JsonObject> {
    const given = text(data['owner']);
    const owner = ownerHere(services, given);
    if (owner !== given || services.config.current.mode !== 'dc') {
        return { ...data, owner };
    }
    if (!skipOwnerCheck) {
        await requireKnownOwner(services, data['owner']);
    }
    return data;
}

/** Whether the caller is an imgadm that sends a wrong `min_platform`. */
function isUnsoundImgadm(userAgent: string): boolean {
    const version = semver.coerce(/^imgadm\/([\d.]+) /.exec(userAgent)?.[1]);
    return version !== null && semver.lt(version, FIRST_SOUND_IMGADM);
}

/** Sets right the `min_platform` an old imgadm made up: the origin's, or none (http-api 3.4). */
function withSoundPlatform(data: JsonObject, origin: RawImage | undefined, userAgent: string): JsonObject {
    const { requirements } = data;
    if (data['type'] !== 'lx-dataset' || !isJsonObject(requirements) || !requirements['min_platform']) {
        return data;
    }
    if (!isUnsoundImgadm(userAgent)) {
        return data;
    }
    const ofOrigin = isJsonObject(origin?.requirements) ? origin.requirements['min_platform'] : undefined;
    const kept = Object.fromEntries(Object.entries(requirements).filter(([key]) => key !== 'min_platform'));
    return { ...data, requirements: ofOrigin ? { ...requirements, min_platform: ofOrigin } : kept };
}

/**
 * Puts the new record in the place of a placeholder. Nothing of the placeholder is kept; files that
 * someone gave it are deleted.
 */
export async function replacePlaceholder(
    services: ImageServices,
    placeholder: StoredImage,
    raw: RawImage,
    mayReplace: MayReplace,
    cleanup: Cleanup,
): Promise<StoredImage> {
    const files = recordedFiles(placeholder.raw);
    if (files.length > 0) {
        const noted = services.journal.note(raw.uuid, files);
        cleanup.add(await noted.catch(savesAs(`error saving image ${raw.uuid}`)));
    }
    const change = (current: RawImage): Draft => {
        mayReplace(current);
        return { ...raw };
    };
    return storeChange(services, raw.uuid, change, { seen: placeholder });
}

/** The record a manifest makes (http-api 3.4 #5-#10). @throws 422, 503 */
async function importedRecord(
    services: ImageServices,
    context: RequestContext,
    given: JsonObject,
    skipOwnerCheck: boolean,
): Promise<RawImage> {
    const upgraded = upgradeManifest(given);
    const origin = await findOrigin(services, context, upgraded['origin']);
    const owned = await withLocalOwner(services, upgraded, skipOwnerCheck);
    const data = withSoundPlatform(owned, origin, context.userAgent);
    return newRecord(services, context, 'import', data);
}

/**
 * AdminImportImage with a manifest in the body: a new image with the caller's uuid, or the image a
 * placeholder stood for (http-api 3.4).
 *
 * @param body `undefined`: absent
 * @throws 403 `OperatorOnly`, 409 `ImageUuidAlreadyExists`, 422, 500, 503
 */
export async function importImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    body: JsonValue | undefined,
    options: ImportOptions,
): Promise<StoredImage> {
    if (context.account !== undefined) {
        throw operatorOnly();
    }
    const given = isJsonObject(body) ? body : {};
    requireSameUuid(uuid, given);
    const skipOwnerCheck = options.skipOwnerCheck();
    const origin = given['origin'];
    const uuids = isUuid(origin) ? [uuid, origin] : [uuid];
    return withCleanup(services, uuids, async (cleanup) => {
        const existing = await findImage(services, uuid);
        if (existing !== undefined) {
            requirePlaceholder(existing.raw);
        }
        const raw = await importedRecord(services, context, given, skipOwnerCheck);
        if (existing === undefined) {
            return storeFreshImage(services, context, raw);
        }
        const replaced = await replacePlaceholder(services, existing, raw, requirePlaceholder, cleanup);
        return requireOriginStill(services, context, replaced);
    });
}
