import { type ApiError, internalError, resourceNotFound } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { ImageFile, ImageIcon } from '../manifest/types.js';
import type { OpenedFile, StoredFileName } from '../storage/storage.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs } from './failures.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';

/** A part of a file; byte offsets, `end` inclusive. */
export interface ByteRange {
    readonly start: number;
    readonly end: number;
}

/**
 * Finds a file of an image by its place (http-api 3.11 #1, #2).
 *
 * @throws 404
 */
export function findImageFile(
    image: StoredImage,
    index: number,
): { readonly file: ImageFile; readonly name: StoredFileName } {
    const { uuid, files = [] } = image.raw;
    if (files.length === 0) {
        throw resourceNotFound(`image "${uuid}" has no file`);
    }
    const file = files[index];
    if (file === undefined) {
        throw resourceNotFound(`image "${uuid}" has no file at index ${index}`);
    }
    return { file, name: fileName(index) };
}

/** The icon of an image (http-api 3.12). @throws 404 when it has none */
export function findImageIcon(image: StoredImage): ImageIcon {
    const { uuid, icon } = image.raw;
    if (icon === undefined) {
        throw resourceNotFound(`image "${uuid}" has no icon`);
    }
    return icon;
}

/**
 * Opens the bytes of a file or icon and makes sure that they are as many as the record says, so that
 * a promise made in headers can be kept (http-api 3.11 #4-#7, D52).
 *
 * @param entry the record's entry for `name`
 * @param range what to read; `undefined`: all of it
 * @throws 404 when the bytes are missing, 500 when their size is wrong, 503 `StorageUnsupported`,
 * 503 `StorageIsDown`
 */
export async function openImageFile(
    services: ImageServices,
    context: RequestContext,
    image: StoredImage,
    name: StoredFileName,
    entry: { readonly stor?: string; readonly size: number },
    range: ByteRange | undefined,
): Promise<OpenedFile> {
    const { uuid } = image.raw;
    const word = name === 'icon' ? 'icon' : 'file';
    const storage = requireStorage(services, storageNameOf(entry));
    const what = `error reading image ${word}`;
    const fail = (error: ApiError, facts: object): never => {
        context.log.error({ uuid, file: name, stor: storage.type, ...facts }, error.message);
        throw error;
    };
    const missing = (): never =>
        fail(resourceNotFound(`image "${uuid}" ${word} is missing from storage`), {});

    const options = { ...range, signal: context.signal };
    const opened = (await storage.open(uuid, name, options).catch(failsAs(what))) ?? missing();
    if (opened.size !== entry.size) {
        opened.stream.destroy();
        fail(internalError(`image "${uuid}" ${word} is corrupt in storage`), {
            expected: entry.size,
            found: opened.size,
        });
    }
    return opened;
}
