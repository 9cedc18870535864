import { ApiError, imageUuidAlreadyExists, invalidParameter, validationFailed } from '../../base/errors.js';
import { isUuid, newUuid } from '../../base/uuid.js';
import type { ImageServices, RequestContext } from '../../images/context.js';
import { ownedByAccount } from '../../images/create-image.js';
import { inSelectedChannel } from '../../images/new-record.js';
import { findImage } from '../../images/load.js';
import { isJsonObject } from '../../images/object-rule.js';
import { requireKnownOwner } from '../../images/owner-check.js';
import { storeFreshImage } from '../../images/store-new-image.js';
import { text } from '../../manifest/coerce.js';
import type { JsonObject, JsonValue, RawImage } from '../../manifest/types.js';
import type { InstanceFacts } from '../../remotes/instances.js';
import { removePlaceholder } from '../../images/delete-unfinished.js';
import type { JobServices } from '../services.js';
import { type InstanceServices, prepareInstance } from './instance-image.js';
import { placeholderOf } from './placeholder.js';

/** What a client wants an image to be made of. */
export interface FromVmWish {
    /** As given; `undefined`: absent or empty. */
    readonly vmUuid: string | undefined;
    /** Reads `incremental` when its turn comes; may throw 422. */
    readonly incremental: () => boolean;
    /** As given; `undefined`: absent or empty. */
    readonly maxOriginDepth: string | undefined;
    /** `undefined`: absent. */
    readonly body: JsonValue | undefined;
}

/** What came of it. */
export interface FromVmStarted {
    readonly imageUuid: string;
    readonly jobUuid: string;
}

/** @throws 501 `NotAvailable` */
function requireAvailable({ config, images }: JobServices): InstanceServices {
    const { instances, computeNodes, storages } = images;
    const mayKeep = storages.has('manta') || config.current.allowLocalCreateImageFromVm;
    if (!mayKeep || instances === undefined || computeNodes === undefined) {
        throw new ApiError('NotAvailable', 'custom image creation is not currently available');
    }
    return { instances, computeNodes };
}

function noVmUuid(given: string): ApiError {
    return invalidParameter(`invalid 'vm_uuid': not a UUID: '${given}'`, [
        { field: 'vm_uuid', code: 'Invalid' },
    ]);
}

/** @throws 422 `ValidationFailed`, `InvalidParameter` */
function requireVmUuid(given: string | undefined): string {
    if (given === undefined) {
        throw validationFailed("missing 'vm_uuid' parameter", [
            { field: 'vm_uuid', code: 'MissingParameter' },
        ]);
    }
    if (!isUuid(given)) {
        throw noVmUuid(given);
    }
    return given;
}

/** @throws 422 `InvalidParameter` */
function originDepth(given: string | undefined): number | undefined {
    if (given === undefined) {
        return undefined;
    }
    const depth = Number(given);
    const errors = [{ field: 'max_origin_depth', code: 'Invalid' }] as const;
    if (!Number.isFinite(depth)) {
        throw invalidParameter(`max_origin_depth query param, "${given}", is not a number`, errors);
    }
    if (depth < 2) {
        throw invalidParameter(`max_origin_depth query param, ${given}, must be greater than 1`, errors);
    }
    return depth;
}

/** The body with an owner that is a UUID. @throws 422 `InvalidParameter`, `ValidationFailed` */
function ownedManifest(body: JsonValue | undefined, account: string | undefined): JsonObject {
    if (!isJsonObject(body)) {
        throw validationFailed('missing request body (image manifest)', [
            { field: 'body', code: 'MissingParameter' },
        ]);
    }
    const owned = ownedByAccount(body, account);
    const { owner } = owned;
    if (!isUuid(owner)) {
        throw validationFailed('invalid image data: owner', [
            { field: 'owner', code: owner ? 'Invalid' : 'MissingParameter' },
        ]);
    }
    return owned;
}

/** The manifest with a uuid nobody has; what is no uuid is refused later. @throws 409, 503 */
async function withFreeUuid(services: ImageServices, manifest: JsonObject): Promise<JsonObject> {
    const given = manifest['uuid'];
    if (!given) {
        return { ...manifest, uuid: newUuid() };
    }
    // As text, since the manifest rules take a uuid in an array for the uuid.
    const uuid = text(given);
    if (isUuid(uuid) && (await findImage(services, uuid)) !== undefined) {
        throw imageUuidAlreadyExists(uuid);
    }
    return { ...manifest, uuid };
}

/** The manifest with the kernel a Linux zone runs, which its image needs (jobs-and-imports 1.2 #15). */
function withKernelVersion(manifest: JsonObject, { brand, kernelVersion }: InstanceFacts): JsonObject {
    const tags = manifest['tags'] ?? {};
    if (brand !== 'lx' || kernelVersion === undefined || !isJsonObject(tags)) {
        return manifest;
    }
    return { ...manifest, tags: { ...tags, kernel_version: kernelVersion } };
}

/** Stores the placeholder. @throws 409 `ImageUuidAlreadyExists`, 422, 500, 503 */
async function storePlaceholder(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
): Promise<void> {
    const { uuid, origin } = raw;
    const uuids = origin === undefined ? [uuid] : [uuid, origin];
    await services.imageQueue.runAll(uuids, async () => {
        if ((await findImage(services, uuid)) !== undefined) {
            throw imageUuidAlreadyExists(uuid);
        }
        await storeFreshImage(services, context, raw);
    });
}

/**
 * Stores the placeholder and starts the job (jobs-and-imports 1.2 #22). A client that leaves meanwhile
 * changes nothing: whether the job was accepted decides.
 *
 * @throws the engine's error; then there is no placeholder
 */
async function start(
    services: JobServices,
    context: RequestContext,
    { raw, vmUuid, params }: { readonly raw: RawImage; readonly vmUuid: string; readonly params: JsonObject },
): Promise<FromVmStarted> {
    const { signal } = new AbortController();
    await storePlaceholder(services.images, context, raw);
    try {
        const job = {
            task: 'create-from-vm',
            target: `/create-from-vm-${vmUuid}`,
            imageUuid: raw.uuid,
            params,
            uuid: newUuid(),
            ...(context.clientRequestId === undefined ? {} : { requestId: context.clientRequestId }),
        } as const;
        const { uuid: jobUuid } = await services.engine.start(job, signal);
        return { imageUuid: raw.uuid, jobUuid };
    } catch (error) {
        await removePlaceholder(services.images, context, raw);
        throw error;
    }
}

/**
 * CreateImageFromVm: stores a placeholder and starts the job that has the image made by the compute
 * node of the instance (jobs-and-imports 1).
 *
 * @throws 404, 409, 422, 500, 501 `NotAvailable`, 503; see the table in jobs-and-imports 1.2
 */
export async function createFromVm(
    services: JobServices,
    context: RequestContext,
    wish: FromVmWish,
): Promise<FromVmStarted> {
    const { images } = services;
    const directories = requireAvailable(services);
    const vmUuid = requireVmUuid(wish.vmUuid);
    const incremental = wish.incremental();
    const depth = originDepth(wish.maxOriginDepth);
    const owned = ownedManifest(wish.body, context.account);
    services.engine.requireAvailable();
    const named = await withFreeUuid(images, owned);
    const { instance, script } = await prepareInstance(images, directories, context, vmUuid);
    const manifest = inSelectedChannel(images, context, withKernelVersion(named, instance));
    await requireKnownOwner(images, manifest['owner']);
    const raw = placeholderOf(images, manifest);
    const params: JsonObject = {
        image_uuid: raw.uuid,
        vm_uuid: vmUuid,
        owner_uuid: raw.owner,
        compression: 'gzip',
        incremental,
        prepare_image_script: script,
        ...(depth === undefined ? {} : { max_origin_depth: depth }),
        manifest,
        req_id: context.requestId,
    };
    return start(services, context, { raw, vmUuid, params });
}
