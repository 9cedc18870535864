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

/** Refuses what has no bytes (http-api 3.8 #9). @throws 400 */
export function requireBytes(kind: UploadKind, received: ReceivedFile): void {
    if (received.size === 0) {
        throw new ApiError(
            kind.mismatch,
            `${kind.subject} size is 0 bytes, empty ${kind.plural} are not allowed`,
        );
    }
}

/** Compares what came with what was announced (http-api 3.8 #9-#12). @throws 400 */
function requireAnnounced(kind: UploadKind, input: UploadInput, received: ReceivedFile): void {
    const { contentLength, sha1, contentMD5 } = input;
    requireBytes(kind, received);
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

/** Bytes on their way, and what they must be. */
export interface Reception {
    /** Bytes announced; absent: unknown. */
    readonly size?: number;
    /** Gives the bytes; called when the storage is ready. */
    readonly start: () => Readable;
    /** @throws what is wrong with the bytes that came */
    readonly verify: (received: ReceivedFile) => void;
    /** Longest time without a byte, milliseconds. */
    readonly idleTimeoutMs: number;
}

/** The image that bytes are received for. */
export interface UploadTarget {
    readonly uuid: string;
    readonly owner: string;
    /** From {@link preferredStorage}. */
    readonly preferred: StorageType | undefined;
}

/**
 * Receives bytes into the storage that is right for the image's owner. Nothing is left behind when it
 * fails (http-api 3.8 #7, #8).
 *
 * @throws 400, 500, 503, or what is wrong with the bytes
 */
export async function receiveBytes(
    services: ImageServices,
    context: RequestContext,
    kind: UploadKind,
    target: UploadTarget,
    reception: Reception,
): Promise<Upload> {
    const storage = requireStorage(
        services,
        chooseStorage(services.config.current, target.owner, target.preferred),
    );
    const announced = reception.size === undefined ? {} : { size: reception.size };
    const writer = await storage
        .createWriter(target.uuid, kind.name, announced)
        .catch(failsAs(kind.receiveFailure));
    try {
        const received = await receiveFile({
            source: reception.start(),
            writer,
            maxSize: kind.maxSize,
            tooBig: () =>
                new ApiError(
                    'Upload',
                    `${kind.subject} size exceeds the maximum allowed size, ${kind.maxSizeText}`,
                ),
            what: kind.receiveFailure,
            signal: context.signal,
            idleTimeoutMs: reception.idleTimeoutMs,
        });
        reception.verify(received);
        return { storage: storage.type, writer, received };
    } catch (error) {
        await writer.abort();
        throw error;
    }
}

/**
 * Receives an upload, and compares it with what was announced (http-api 3.8 #7-#12).
 *
 * @throws 400, 500, 503
 */
export async function receiveUpload(
    services: ImageServices,
    context: RequestContext,
    kind: UploadKind,
    target: UploadTarget,
    input: UploadInput,
): Promise<Upload> {
    const { contentLength, start } = input;
    return receiveBytes(services, context, kind, target, {
        ...(contentLength === undefined ? {} : { size: contentLength }),
        start,
        verify: (received) => requireAnnounced(kind, input, received),
        idleTimeoutMs: IDLE_TIMEOUT_MS,
    });
}
