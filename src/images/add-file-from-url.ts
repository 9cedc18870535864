import { ApiError, imageFilesImmutable } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { isActivated } from '../manifest/state.js';
import { requireAllowedSize, wrongLength } from '../transfers/download-errors.js';
import type { ReceivedFile } from '../transfers/receive.js';
import { fileEntry, fileSlot, requireCompression } from './add-image-file.js';
import type { ImageServices, RequestContext } from './context.js';
import { requireFileUrl } from './file-url.js';
import { finishUpload } from './finish-upload.js';
import { ownImageSeen } from './load.js';
import {
    preferredStorage,
    receiveBytes,
    requireBytes,
    type Upload,
    type UploadTarget,
} from './receive-upload.js';
import { FILE_UPLOAD } from './upload-kinds.js';
import { WebFile } from './web-file.js';

/** A file to fetch, as the caller describes it. */
export interface FileUrlInput {
    /** The body of the request. */
    readonly body: unknown;
    readonly compression?: string;
    /** Hex, any case. */
    readonly sha1?: string;
    /** Where the bytes are to be kept; for operators. */
    readonly storage?: string;
    readonly datasetGuid?: string;
}

/**
 * Longest time without a byte, milliseconds. The download itself notices stalls much earlier; what may take
 * longer is a pause that the other server asks for.
 */
const PATIENCE_MS = 3_600_000;

/** Compares what came with what was announced (jobs-and-imports 7.3 #11, #13). @throws 400 `Download` */
function requireExpected(received: ReceivedFile, size: number | undefined, sha1: string | undefined): void {
    requireBytes(FILE_UPLOAD, received);
    if (size !== undefined && size !== received.size) {
        throw wrongLength(size, received.size);
    }
    if (sha1 !== undefined && sha1 !== '' && sha1.toLowerCase() !== received.sha1) {
        throw new ApiError(
            'Download',
            `expected sha1 hash, ${sha1}, does not match the uploaded file sha1 hash, ${received.sha1}`,
        );
    }
}

/** Fetches the file into storage. @throws 400, 422, 500, 503 */
async function fetchFile(
    services: ImageServices,
    context: RequestContext,
    url: string,
    target: UploadTarget,
    sha1: string | undefined,
): Promise<Upload> {
    const file = await WebFile.open(services, context, url);
    try {
        const { size, body } = file;
        requireAllowedSize(size);
        return await receiveBytes(services, context, FILE_UPLOAD, target, {
            ...(size === undefined ? {} : { size }),
            start: () => body,
            verify: (received) => requireExpected(received, size, sha1),
            idleTimeoutMs: PATIENCE_MS,
        });
    } catch (error) {
        const { errored } = file.body;
        // What the receiver says of a source that failed is meant for uploads.
        throw errored !== null && error instanceof ApiError && error.cause === errored
            ? file.failure(errored)
            : error;
    } finally {
        file.close();
    }
}

/**
 * AddImageFileFromUrl: fetches the first file of an image from a web server, replacing the one it has;
 * until the image is activated (jobs-and-imports 7.3).
 *
 * @throws 400, 404, 422, 500, 503; see the table in jobs-and-imports 7.3
 */
export async function addFileFromUrl(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    input: FileUrlInput,
): Promise<StoredImage> {
    const { raw } = await ownImageSeen(services, context, uuid);
    if (isActivated(raw)) {
        throw imageFilesImmutable(uuid);
    }
    const compression = requireCompression(input.compression);
    const url = requireFileUrl(input.body);
    const preferred = preferredStorage(context, input.storage);
    const target = { uuid, owner: raw.owner, preferred };
    const upload = await fetchFile(services, context, url, target, input.sha1);
    const entry = fileEntry(upload, compression, input.datasetGuid, services.clock.now());
    return finishUpload(services, context, uuid, { kind: FILE_UPLOAD, upload, slot: fileSlot(entry) });
}
