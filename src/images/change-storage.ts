import type { Readable } from 'node:stream';
import { MAX_IMAGE_SIZE, type StorageType } from '../base/constants.js';
import { ApiError, internalError, operatorOnly, resourceNotFound, validationFailed } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import type { Storage, StorageWriter } from '../storage/storage.js';
import { receiveFile } from '../transfers/receive.js';
import { storeChange } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs, savesAs } from './failures.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';
import { withCleanup } from './image-task.js';
import { loadImage } from './load.js';

const MOVE_FAILURE = 'error moving image file';
const SAVE_FAILURE = 'could not save updated manifest';
/** A storage that gives no bytes for this long is given up, milliseconds (README, timeouts while copying). */
const STALL_TIMEOUT_MS = 60_000;
const FILE = fileName(0);

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

/** The one file of an image that can move (http-api 3.18 #4-#6). @throws 400 `NotImplemented`, 404 */
function requireMovableFile(raw: RawImage): ImageFile {
    const [file, ...others] = raw.files ?? [];
    if (raw.icon !== undefined) {
        throw new ApiError('NotImplemented', 'cannot change stor for images with an icon');
    }
    if (others.length > 0) {
        throw new ApiError('NotImplemented', 'cannot change stor for images with multiple files');
    }
    if (file === undefined) {
        throw resourceNotFound(`image "${raw.uuid}" has no file`);
    }
    return file;
}

/** @throws 500 when a copy is not what the record says */
function requireSame(file: ImageFile, copy: { size: number; sha1: string; md5: string }): void {
    const checks = [
        ['size', copy.size, file.size],
        ['Content-MD5', copy.md5, file.contentMD5 ?? copy.md5],
        ['sha1', copy.sha1, file.sha1],
    ] as const;
    const wrong = checks.find(([, found, expected]) => found !== expected);
    if (wrong !== undefined) {
        const [what, found, expected] = wrong;
        throw internalError(`${MOVE_FAILURE}: copied ${what} is ${found}, expected ${expected}`);
    }
}

/** Receives the bytes from the other storage; a source that breaks off is our failure, not the caller's. */
async function fillWriter(
    context: RequestContext,
    file: ImageFile,
    source: Readable,
    writer: StorageWriter,
): Promise<StorageWriter> {
    try {
        const copy = await receiveFile({
            source,
            writer,
            maxSize: MAX_IMAGE_SIZE,
            tooBig: () => internalError(`${MOVE_FAILURE}: file is too big`),
            what: MOVE_FAILURE,
            signal: context.signal,
            idleTimeoutMs: STALL_TIMEOUT_MS,
        });
        requireSame(file, copy);
        return writer;
    } catch (error) {
        await writer.abort();
        throw error instanceof ApiError && error.code === 'Upload'
            ? internalError(error.message, error)
            : error;
    }
}

/** Copies and verifies the bytes; the copy stays under a temporary name. @throws 500, 503 */
async function copyFile(
    context: RequestContext,
    uuid: string,
    file: ImageFile,
    source: Storage,
    target: Storage,
): Promise<StorageWriter> {
    const opened = await source.open(uuid, FILE, { signal: context.signal }).catch(failsAs(MOVE_FAILURE));
    if (opened === undefined) {
        throw internalError(`${MOVE_FAILURE}: file is missing from storage`);
    }
    try {
        const writer = await target
            .createWriter(uuid, FILE, { size: opened.size })
            .catch(failsAs(MOVE_FAILURE));
        return await fillWriter(context, file, opened.stream, writer);
    } finally {
        opened.stream.destroy();
    }
}

/** Whether a record still names the very bytes that were copied. */
function requireUnchanged(raw: RawImage, file: ImageFile): ImageFile {
    const current = requireMovableFile(raw);
    const same =
        current.sha1 === file.sha1 &&
        current.mtime === file.mtime &&
        storageNameOf(current) === storageNameOf(file);
    if (!same) {
        throw internalError(`${MOVE_FAILURE}: the file was replaced meanwhile`);
    }
    return current;
}

/** Makes the copy the image's file: final name, record, and only then the old bytes go (backends W11). */
async function switchStorage(
    services: ImageServices,
    context: RequestContext,
    file: ImageFile,
    target: Storage,
    job: { readonly uuid: string; readonly writer: StorageWriter },
): Promise<StoredImage> {
    const { uuid, writer } = job;
    return withCleanup(services, [uuid], async (cleanup) => {
        requireUnchanged((await loadImage(services, context, uuid)).raw, file);
        const both = [storageNameOf(file), target.type].map((stor) => ({ stor, name: FILE }));
        cleanup.add(await services.journal.note(uuid, both).catch(savesAs(SAVE_FAILURE)));
        await writer.commit().catch(failsAs(MOVE_FAILURE));
        const change = (raw: RawImage) => ({
            ...raw,
            files: [{ ...requireUnchanged(raw, file), stor: target.type }],
        });
        return storeChange(services, uuid, change, { archive: false }).catch(savesAs(SAVE_FAILURE));
    });
}

/**
 * AdminChangeImageStor: moves the file of an image to another storage, in any state (http-api 3.18).
 *
 * @param stor name of the storage; `undefined`: not given
 * @throws 400 `NotImplemented`, 403 `OperatorOnly`, 404, 422, 500, 503
 */
export async function changeImageStorage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    stor: string | undefined,
): Promise<StoredImage> {
    const image = await loadImage(services, context, uuid);
    if (context.account !== undefined) {
        throw operatorOnly();
    }
    const target = requireTarget(services, stor);
    const file = requireMovableFile(image.raw);
    if (storageNameOf(file) === target.type) {
        return image;
    }
    const source = requireStorage(services, storageNameOf(file));
    const writer = await copyFile(context, uuid, file, source, target);
    try {
        return await switchStorage(services, context, file, target, { uuid, writer });
    } catch (error) {
        await writer.abort();
        throw error;
    }
}
