import { type FileCompression, VALID_FILE_COMPRESSIONS } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import { isObject, text } from '../manifest/coerce.js';
import { maxFilesOf } from '../manifest/limits.js';
import type { JsonObject, JsonValue } from '../manifest/types.js';
import { upgradeManifest } from '../manifest/upgrade.js';

/** A file of an image as the manifest at its source describes it. */
export interface SourceFile {
    /** 0 is the first. */
    readonly index: number;
    /** Hex, lower case. */
    readonly sha1: string;
    /** Bytes. */
    readonly size: number;
    readonly compression: FileCompression;
    readonly datasetGuid?: string;
}

function unusable(uuid: string, reason: string): ApiError {
    return new ApiError(
        'RemoteSourceError',
        `Unable to get stream for image file ${uuid}. Error from remote: ${reason}`,
    );
}

function fileOf(uuid: string, index: number, entry: JsonValue): SourceFile {
    const { sha1, size, compression: given, dataset_guid: guid } = isObject(entry) ? entry : {};
    const compression = VALID_FILE_COMPRESSIONS.find((name) => name === given);
    const isSha1 = typeof sha1 === 'string' && /^[0-9a-f]{40}$/i.test(sha1);
    const isSize = typeof size === 'number' && Number.isSafeInteger(size) && size >= 0;
    if (!isSha1 || !isSize || compression === undefined) {
        throw unusable(uuid, `files[${index}] of the manifest is malformed`);
    }
    return {
        index,
        sha1: sha1.toLowerCase(),
        size,
        compression,
        ...(typeof guid === 'string' && guid !== '' ? { datasetGuid: guid } : {}),
    };
}

/**
 * The files of an image by its manifest at a source, of any format (jobs-and-imports 3.1).
 *
 * @throws 503 `RemoteSourceError` when there is none, or one cannot be what it says
 */
export function sourceFiles(manifest: JsonObject): readonly SourceFile[] {
    const { files, type } = upgradeManifest(manifest);
    const uuid = text(manifest['uuid']);
    if (!Array.isArray(files) || files.length === 0) {
        throw unusable(uuid, 'image has no file');
    }
    if (files.length > maxFilesOf(type)) {
        throw unusable(uuid, 'image has too many files');
    }
    return files.map((entry: JsonValue, index) => fileOf(uuid, index, entry));
}

/**
 * One of {@link sourceFiles}, when they are read again.
 *
 * @throws 503 `RemoteSourceError`
 */
export function sourceFile(manifest: JsonObject, index: number): SourceFile {
    const file = sourceFiles(manifest)[index];
    if (file === undefined) {
        throw unusable(text(manifest['uuid']), `image has no file at index ${index} any more`);
    }
    return file;
}
