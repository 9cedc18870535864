import { ApiError, imageUuidAlreadyExists } from '../../base/errors.js';
import { type Draft, storeChange } from '../../images/change-image.js';
import type { ImageServices, RequestContext } from '../../images/context.js';
import { manifestRules } from '../../images/rules.js';
import { changedFields } from '../../manifest/copied-fields.js';
import { sha1OfFirstFile } from '../../manifest/document-files.js';
import { toApiManifest } from '../../manifest/serialize.js';
import { isActivated } from '../../manifest/state.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import { applyUpdate } from '../../manifest/update.js';
import { upgradeManifest } from '../../manifest/upgrade.js';
import type { JobServices } from '../services.js';
import type { WantedCopy } from './wanted-copy.js';

/** A copy that was there already, compared with its source. */
export interface Recopied {
    /** Uuid of the finished local job that tells of it. */
    readonly jobUuid: string;
    /** Names of the fields that were changed. */
    readonly changed: readonly string[];
}

/** All fields, as the source shows them to the owner. */
const FORM = { mode: 'dc', version2: true, inclAdminFields: false } as const;

/** @throws 409 `ImageUuidAlreadyExists` */
function requireSameFile(raw: RawImage, source: JsonObject): void {
    if (!isActivated(raw)) {
        throw imageUuidAlreadyExists(raw.uuid);
    }
    if (sha1OfFirstFile(raw) !== sha1OfFirstFile(source)) {
        throw new ApiError(
            'ImageUuidAlreadyExists',
            `image uuid "${raw.uuid}" already exists with a different file`,
        );
    }
}

/** @returns the names of the fields that were changed */
async function follow(
    services: ImageServices,
    uuid: string,
    manifest: JsonObject,
): Promise<readonly string[]> {
    const source = upgradeManifest(manifest);
    let changed: readonly string[] = [];
    const change = (raw: RawImage): Draft | undefined => {
        requireSameFile(raw, source);
        const body = changedFields(toApiManifest(raw, FORM), source);
        changed = Object.keys(body);
        if (changed.length === 0) {
            return undefined;
        }
        const rules = manifestRules(services.config.current);
        return { ...applyUpdate(raw, body, { rules, channelNames: undefined, accountGiven: false }) };
    };
    await services.imageQueue.run(uuid, () => storeChange(services, uuid, change));
    return changed;
}

/** Keeps a finished job that tells of a copy that was there already. @returns its uuid @throws 503 */
export async function recordRecopy(
    services: JobServices,
    context: RequestContext,
    copy: WantedCopy,
    changed: readonly string[] = [],
    startedAt = services.images.clock.now(),
): Promise<string> {
    const result = changed.length === 0 ? 'No changes' : `Updated fields: ${changed.join(', ')}`;
    return services.local.record({
        task: 'import-remote-image',
        name: 'recopy-image-8.0.0',
        version: '8.0.0',
        target: `/import-remote-${copy.uuid}`,
        imageUuid: copy.uuid,
        params: {
            image_uuid: copy.uuid,
            req_id: context.requestId,
            source: copy.address.shownUrl,
            skip_owner_check: false,
            account: copy.account,
            datacenter: copy.datacenter,
        },
        results: [
            {
                result,
                error: '',
                name: 'recopy_image',
                started_at: new Date(startedAt).toISOString(),
                finished_at: new Date(services.images.clock.now()).toISOString(),
            },
        ],
    });
}

/**
 * Copies an image that is here already once more: the fields that may change follow the source, those it
 * does not have go (jobs-and-imports 8.4). Only the image itself, not its origins.
 *
 * @throws 409 `ImageUuidAlreadyExists` for another file; 422, 500, 503
 */
export async function recopy(
    services: JobServices,
    context: RequestContext,
    copy: WantedCopy,
    manifest: JsonObject,
): Promise<Recopied> {
    services.local.requireKeeper();
    const startedAt = services.images.clock.now();
    const changed = await follow(services.images, copy.uuid, manifest);
    return { jobUuid: await recordRecopy(services, context, copy, changed, startedAt), changed };
}
