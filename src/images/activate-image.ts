import { imageAlreadyActivated, internalError, noActivationNoFile } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { computeState, isActivated, isDisabled } from '../manifest/state.js';
import type { ImageFile, JsonObject, RawImage } from '../manifest/types.js';
import type { Storage } from '../storage/storage.js';
import { changeImage, type Draft, type ImageChange, type Precondition, withoutKeys } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs } from './failures.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';

/** Makes sure that a file is in its storage as recorded. @throws 500 when it is not; 503 */
export async function requireStoredFile(
    storage: Storage,
    uuid: string,
    index: number,
    file: ImageFile,
): Promise<void> {
    const facts = await storage.stat(uuid, fileName(index)).catch(failsAs('error reading image file'));
    if (facts === undefined) {
        throw internalError(`image "${uuid}" file is missing from storage`);
    }
    if (facts.size !== file.size) {
        throw internalError(`image "${uuid}" file is corrupt in storage`);
    }
}

/** What an import in progress left in the record ends with the activation (backends F2). */
function withoutImportId(own: JsonObject): Draft {
    const kept = Object.fromEntries(Object.entries(own).filter(([key]) => key !== 'import_id'));
    return Object.keys(kept).length === 0 ? {} : { x_imgapi: kept };
}

function activated(raw: RawImage, now: number): Draft {
    return {
        ...withoutKeys(raw, 'expires_at', 'x_imgapi'),
        ...withoutImportId(raw.x_imgapi ?? {}),
        published_at: raw.published_at ? raw.published_at : new Date(now).toISOString(),
        activated: true,
        state: computeState({ activated: true, disabled: isDisabled(raw) }),
    };
}

/**
 * The change that activates an image whose files are in place. Only for tasks that run in the image's
 * queue already, all others use {@link activateImage}.
 */
export function activation(services: ImageServices): ImageChange {
    return async (raw) => {
        const { uuid } = raw;
        if (isActivated(raw)) {
            throw imageAlreadyActivated(uuid);
        }
        const files = raw.files ?? [];
        if (files.length === 0) {
            throw noActivationNoFile(uuid);
        }
        for (const [index, file] of files.entries()) {
            await requireStoredFile(requireStorage(services, storageNameOf(file)), uuid, index, file);
        }
        return activated(raw, services.clock.now());
    };
}

/**
 * ActivateImage: publishes an image whose files are in place; this cannot be taken back (http-api
 * 1.14, 3.13). It shares the image's queue with uploads, so each sees the other's result.
 *
 * @throws 404, 412, 422 `ImageAlreadyActivated`, 422 `NoActivationNoFile`, 500, 503
 */
export async function activateImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    precondition?: Precondition,
): Promise<StoredImage> {
    return changeImage(services, context, uuid, activation(services), precondition);
}
