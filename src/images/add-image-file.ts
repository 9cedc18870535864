import { type FileCompression, VALID_FILE_COMPRESSIONS } from '../base/constants.js';
import {
    imageAlreadyActivated,
    imageFilesImmutable,
    invalidParameter,
    serviceUnavailable,
} from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { isActivated } from '../manifest/state.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import { type Draft, withKeyOf, withoutKeys } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { finishUpload, type UploadSlot } from './finish-upload.js';
import { ownImageSeen } from './load.js';
import {
    preferredStorage,
    receiveUpload,
    requireAllowedLength,
    type Upload,
    type UploadInput,
} from './receive-upload.js';
import { FILE_UPLOAD } from './upload-kinds.js';

/** An upload of an image file, as the caller describes it. */
export interface FileUploadInput extends UploadInput {
    readonly compression?: string;
    readonly datasetGuid?: string;
}

/** Reads the `compression` parameter (http-api 3.8 #2, #3). @throws 422 `InvalidParameter` */
export function requireCompression(given: string | undefined): FileCompression {
    if (given === undefined || given === '') {
        throw invalidParameter('missing "compression"', [{ field: 'compression', code: 'Missing' }]);
    }
    const compression = VALID_FILE_COMPRESSIONS.find((name) => name === given);
    if (compression === undefined) {
        const valid = VALID_FILE_COMPRESSIONS.join(', ');
        throw invalidParameter(`invalid compression "${given}" (must be one of ${valid})`, [
            { field: 'compression', code: 'Invalid' },
        ]);
    }
    return compression;
}

/** The record's entry for an upload, keys in the order they are stored (manifest 8.2). */
export function fileEntry(
    upload: Upload,
    compression: FileCompression,
    datasetGuid: string | undefined,
    now: number,
): ImageFile {
    const { received } = upload;
    return {
        sha1: received.sha1,
        size: received.size,
        contentMD5: received.md5,
        mtime: new Date(now).toISOString(),
        stor: upload.storage,
        compression,
        ...(datasetGuid === undefined || datasetGuid === '' ? {} : { dataset_guid: datasetGuid }),
        sha256: received.sha256,
    };
}

/** @throws 503 when another upload takes files out of the record at this moment */
function requireFilesBefore(raw: RawImage, index: number): void {
    if ((raw.files ?? []).length < index) {
        throw serviceUnavailable('service unavailable', 1, new Error(`files[${index - 1}] is not there`));
    }
}

function withFiles(raw: RawImage, files: readonly ImageFile[]): Draft {
    return files.length === 0 ? withoutKeys(raw, 'files') : { ...raw, files };
}

/**
 * `files[index]`; the files before it have to be there, those behind it are kept.
 *
 * @param entry what {@link fileEntry} makes
 */
export function fileSlot(entry: ImageFile, index = 0): UploadSlot {
    const behind = (raw: RawImage): readonly ImageFile[] => (raw.files ?? []).slice(index + 1);
    const before = (raw: RawImage): readonly ImageFile[] => (raw.files ?? []).slice(0, index);
    return {
        entry,
        check: (raw: RawImage) => {
            if (isActivated(raw)) {
                throw imageAlreadyActivated(raw.uuid);
            }
            requireFilesBefore(raw, index);
        },
        current: (raw) => raw.files?.[index],
        behind,
        emptied: (raw) => withFiles(raw, before(raw)),
        restored: (raw, previous) => withKeyOf(previous, raw, 'files'),
        filled: (raw, previous) => ({ ...raw, files: [...before(previous), entry, ...behind(previous)] }),
    };
}

/**
 * AddImageFile: receives the first file of an image, replacing the one it has; until the image is
 * activated (http-api 3.8).
 *
 * @throws 400, 404, 422, 500, 503; see the table in http-api 3.8
 */
export async function addImageFile(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    input: FileUploadInput,
): Promise<StoredImage> {
    const { raw } = await ownImageSeen(services, context, uuid);
    if (isActivated(raw)) {
        throw imageFilesImmutable(uuid);
    }
    const compression = requireCompression(input.compression);
    const preferred = preferredStorage(context, input.storage);
    requireAllowedLength(FILE_UPLOAD, input.contentLength);
    const target = { uuid, owner: raw.owner, preferred };
    const upload = await receiveUpload(services, context, FILE_UPLOAD, target, input);
    const entry = fileEntry(upload, compression, input.datasetGuid, services.clock.now());
    return finishUpload(services, context, uuid, { kind: FILE_UPLOAD, upload, slot: fileSlot(entry) });
}
