import type { StorageType } from '../base/constants.js';
import { ApiError, operatorOnly, resourceNotFound, validationFailed } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import type { Storage } from '../storage/storage.js';
import type { ImageServices, RequestContext } from './context.js';
import { copyToStorage, MOVE_FAILURE, type StorageCopy } from './copy-to-storage.js';
import { type NamedEntry, namedEntries, requireStorage, storageNameOf } from './image-files.js';
import { loadImage } from './load.js';
import { namesIn, switchStorage } from './switch-storage.js';

/** The storage a caller names (http-api 3.18 #2, #3). @throws 422 `ValidationFailed` */
function requireTarget(services: ImageServices, stor: string | undefined): Storage {
    if (stor === undefined || stor === '') {
        throw validationFailed('missing "stor" query parameter', [
            { field: 'stor', code: 'MissingParameter' },
        ]);
    }
    const storage = services.storages.get(stor as StorageType);
    if (storage === undefined) {
        throw validationFailed(`unknown storage type "${stor}"`, [{ field: 'stor', code: 'Invalid' }]);
    }
    return storage;
}

/** What is to move, wherever it is (http-api 3.18 #4-#6). @throws 400 `NotImplemented`, 404 */
function requireMovable(raw: RawImage, all: boolean): readonly NamedEntry[] {
    if (!all && raw.icon !== undefined) {
        throw new ApiError('NotImplemented', 'cannot change stor for images with an icon');
    }
    const movable = namedEntries(raw);
    if (!all && movable.length > 1) {
        throw new ApiError('NotImplemented', 'cannot change stor for images with multiple files');
    }
    if (movable.length === 0) {
        throw resourceNotFound(`image "${raw.uuid}" has no file`);
    }
    return movable;
}

/** Copies one file after another, then makes all copies the image's files as one step. */
async function moveFiles(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    files: readonly NamedEntry[],
    target: Storage,
): Promise<StoredImage> {
    const copies: StorageCopy[] = [];
    try {
        for (const file of files) {
            const source = requireStorage(services, storageNameOf(file.entry));
            copies.push(await copyToStorage(context, uuid, file, source, target));
        }
        return await switchStorage(services, context, uuid, target, copies);
    } finally {
        // Nothing is done to those that are in place.
        for (const { writer } of copies) {
            await writer.abort();
        }
    }
}

/** What a move comes to that failed because of what others did meanwhile. @throws 404, or `failure` */
async function afterFailure(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    isDone: (raw: RawImage) => boolean,
    failure: unknown,
): Promise<StoredImage> {
    if (context.signal.aborted) {
        throw new ApiError('Upload', `${MOVE_FAILURE}: aborted`, { cause: failure });
    }
    const image = await loadImage(services, context, uuid).catch((error: unknown) => {
        throw error instanceof ApiError && error.status === 404 ? error : failure;
    });
    if (isDone(image.raw)) {
        return image;
    }
    throw failure;
}

/**
 * AdminChangeImageStor: moves the file of an image to another storage, in any state (http-api 3.18).
 * However long it takes: the request's signal ends it until the copies are made.
 *
 * @param stor name of the storage; `undefined`: not given
 * @param options.all whether every file and the icon are to move, those that are not there yet; read when
 * `stor` has been checked
 * @throws 400 `NotImplemented`, 403 `OperatorOnly`, 404, 422, 500, 503
 */
export async function changeImageStorage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    stor: string | undefined,
    options: { readonly all?: () => boolean } = {},
): Promise<StoredImage> {
    const image = await loadImage(services, context, uuid);
    if (context.account !== undefined) {
        throw operatorOnly();
    }
    const target = requireTarget(services, stor);
    const movable = requireMovable(image.raw, options.all?.() ?? false);
    const files = movable.filter(({ entry }) => storageNameOf(entry) !== target.type);
    if (files.length === 0) {
        return image;
    }
    try {
        return await moveFiles(services, context, uuid, files, target);
    } catch (error) {
        // Another call for the same may have been faster: then it is done.
        const isDone = (raw: RawImage): boolean => files.every((file) => namesIn(raw, file, target.type));
        return afterFailure(services, context, uuid, isDone, error);
    }
}
