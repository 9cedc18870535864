import { ApiError, imageUuidAlreadyExists } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { importIdOf } from '../manifest/import-id.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import { activateImage } from './activate-image.js';
import { fileSlot } from './add-image-file.js';
import type { ImageServices, RequestContext } from './context.js';
import { deleteUnfinished } from './delete-unfinished.js';
import { finishUpload } from './finish-upload.js';
import type { Upload } from './receive-upload.js';
import { storeNewImage } from './store-new-image.js';
import { fileUpload } from './upload-kinds.js';
import { whileUnavailable } from './while-unavailable.js';

/** How long taking back a record may take, milliseconds. */
const ROLL_BACK_LIMIT_MS = 30_000;

/** A file of an image that has come, still under a temporary name. */
export interface ArrivedFile {
    readonly upload: Upload;
    /** The record's entry for it. */
    readonly entry: ImageFile;
}

/** Takes the record back, unless it is not ours or has been activated; also for a client that has gone. */
async function rollBack(services: ImageServices, context: RequestContext, raw: RawImage): Promise<void> {
    const { uuid } = raw;
    const limited = { ...context, signal: AbortSignal.timeout(ROLL_BACK_LIMIT_MS) };
    try {
        await whileUnavailable(limited.signal, () => deleteUnfinished(services, limited, uuid, raw));
    } catch (err) {
        if (!(err instanceof ApiError && err.code === 'ImageUuidAlreadyExists')) {
            context.log.warn({ err, uuid }, 'the record of an image that was not activated stays');
        }
    }
}

/**
 * Makes an image of files that are here already, so that there is a record without activation only for the
 * moment that takes: record, files, activation. When any of it fails, record and files are taken back.
 *
 * @param raw the new record, with the mark of its import
 * @param files in their order; theirs is the caller's no more
 * @param onActivating called when only the activation is left
 * @throws 409 `ImageUuidAlreadyExists` when somebody else has made the image meanwhile, 422 `OriginDoesNotExist`
 * also while its origin is being made, 422, 500, 503; the reason of the signal
 */
export async function finishImport(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    files: readonly ArrivedFile[],
    onActivating: () => void,
): Promise<StoredImage> {
    const { uuid } = raw;
    const { signal } = context;
    const requireOurs = (current: RawImage): void => {
        if (importIdOf(current) !== importIdOf(raw)) {
            throw imageUuidAlreadyExists(uuid);
        }
    };
    try {
        signal.throwIfAborted();
        await storeNewImage(services, context, raw, { originMustBeActivated: true });
        for (const [index, { upload, entry }] of files.entries()) {
            signal.throwIfAborted();
            const slot = fileSlot(entry, index);
            const check = (current: RawImage): void => {
                requireOurs(current);
                slot.check(current);
            };
            await finishUpload(services, context, uuid, {
                kind: fileUpload(index),
                upload,
                slot: { ...slot, check },
            });
        }
        signal.throwIfAborted();
        onActivating();
        return await activateImage(services, context, uuid, requireOurs);
    } catch (error) {
        await Promise.all(files.map(({ upload }) => upload.writer.abort()));
        await rollBack(services, context, raw);
        throw error;
    }
}
