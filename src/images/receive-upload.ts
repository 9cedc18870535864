import type { Readable } from 'node:stream';
import { type StorageType, VALID_STORAGES } from '../base/constants.js';
import { ApiError, invalidParameter } from '../base/errors.js';
import { chooseStorage } from '../storage/choose-storage.js';
import type { ClosedWriter } from '../storage/storage.js';
import { type ReceivedFile, receiveFile } from '../transfers/receive.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs } from './failures.js';
import { requireStorage } from './image-files.js';
import type { UploadKind } from './upload-kinds.js';

/** An upload whose sender is silent for this long is given up, milliseconds (http-api 3.8). */
const IDLE_TIMEOUT_MS = 600_000;

/** What a caller tells of the bytes it sends. */
export interface UploadInput {
    /** Hex, any case. */
    readonly sha1?: string;
    /** Where the bytes are to be kept; for operators. */
    readonly storage?: string;
    /** Bytes announced; absent: unknown. */
    readonly contentLength?: number;
    /** Base64. */
    readonly contentMD5?: string;
    /** Starts the transfer and gives the bytes; called only when everything else has been checked. */
    readonly start: () => Readable;
}

/** Bytes received, checked and on stable storage, still under a temporary name. */
export interface Upload {
    readonly storage: StorageType;
    readonly writer: ClosedWriter;
    readonly received: ReceivedFile;
}

/** Reads the `storage` parameter (http-api 3.8 #4, #5). @throws 422 `InvalidParameter` */
export function preferredStorage(
    context: RequestContext,
    given: string | undefined,
): StorageType | undefined {
    if (given === undefined || given === '') {
        return undefined;
    }
    if (context.account !== undefined) {
        throw invalidParameter(`invalid storage "${given}"`, [
            {
                field: 'storage',
                code: 'NotAllowed',
                message: 'Parameter cannot be specified by non-operators',
            },
        ]);
    }
    const storage = VALID_STORAGES.find((name) => name === given);
    if (storage === undefined) {
        const valid = VALID_STORAGES.join(', ');
        throw invalidParameter(`invalid storage "${given}" (must be one of ${valid})`, [
            { field: 'storage', code: 'Invalid' },
        ]);
    }
    return storage;
}

/** Refuses an upload that announces too many bytes (http-api 3.8 #6). @throws 400 `Upload` */
export function requireAllowedLength(kind: UploadKind, length: number | undefined): void {
    if (length !== undefined && length > kind.maxSize) {
        throw new ApiError(
            'Upload',
            `${kind.subject} size ${length} (from Content-Length) exceeds the maximum allowed size, ${kind.maxSizeText}`,
        );
    }
}

/** Compares what came with what was announced (http-api 3.8 #9-#12). @throws 400 */
function requireAnnounced(kind: UploadKind, input: UploadInput, received: ReceivedFile): void {
    const { contentLength, sha1, contentMD5 } = input;
    if (received.size === 0) {
        throw new ApiError(
            kind.mismatch,
            `${kind.subject} size is 0 bytes, empty ${kind.plural} are not allowed`,
        );
    }
    if (contentLength !== undefined && contentLength !== received.size) {
        throw new ApiError(
            kind.mismatch,
            `"Content-Length" header, ${contentLength}, does not match uploaded size, ${received.size}`,
        );
    }
    if (sha1 !== undefined && sha1 !== '' && sha1.toLowerCase() !== received.sha1) {
        throw new ApiError(
            kind.mismatch,
            `"sha1" hash, ${sha1}, does not match the uploaded ${kind.hashed} sha1 hash, ${received.sha1}`,
        );
    }
    if (contentMD5 !== undefined && contentMD5 !== received.md5) {
        throw new ApiError('BadDigest', `Content-MD5 '${contentMD5}' didn't match '${received.md5}'`);
    }
}

/**
 * Receives an upload into the storage that is right for the image's owner. Nothing is left behind
 * when it fails (http-api 3.8 #7-#12).
 *
 * @param target.preferred from {@link preferredStorage}
 * @throws 400, 500, 503
 */
export async function receiveUpload(
    services: ImageServices,
    context: RequestContext,
    kind: UploadKind,
    target: { readonly uuid: string; readonly owner: string; readonly preferred: StorageType | undefined },
    input: UploadInput,
): Promise<Upload> {
    const storage = requireStorage(
        services,
        chooseStorage(services.config.current, target.owner, target.preferred),
    );
    const announced = input.contentLength === undefined ? {} : { size: input.contentLength };
    const writer = await storage
        .createWriter(target.uuid, kind.name, announced)
        .catch(failsAs(kind.receiveFailure));
    try {
        const received = await receiveFile({
            source: input.start(),
            writer,
            maxSize: kind.maxSize,
            tooBig: () =>
                new ApiError(
                    'Upload',
                    `${kind.subject} size exceeds the maximum allowed size, ${kind.maxSizeText}`,
                ),
            what: kind.receiveFailure,
            signal: context.signal,
            idleTimeoutMs: IDLE_TIMEOUT_MS,
        });
        requireAnnounced(kind, input, received);
        return { storage: storage.type, writer, received };
    } catch (error) {
        await writer.abort();
        throw error;
    }
}
