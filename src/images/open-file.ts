import { type ApiError, internalError, resourceNotFound } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { ImageFile, ImageIcon } from '../manifest/types.js';
import type { OpenedFile, StoredFileName } from '../storage/storage.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs } from './failures.js';
import { entryOf, fileName, requireStorage, storageNameOf } from './image-files.js';
import type { BytesEntry } from './stored-bytes.js';

/** How often the bytes of one request may be moved before it gives up. */
const MAX_MOVES = 3;

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

/** What is to be opened. */
interface Wanted {
    readonly uuid: string;
    readonly name: StoredFileName;
    /** The record's entry for `name`. */
    readonly entry: BytesEntry;
    /** Absent: all of it. */
    readonly range: ByteRange | undefined;
}

function wordFor(name: StoredFileName): string {
    return name === 'icon' ? 'icon' : 'file';
}

/** Where another storage has the very same bytes by now; `undefined`: the record does not say so. */
async function movedTo(
    services: ImageServices,
    { uuid, name, entry }: Wanted,
): Promise<BytesEntry | undefined> {
    const current = entryOf((await services.database.get(uuid)).raw, name);
    const isMoved =
        current !== undefined &&
        current.sha1 === entry.sha1 &&
        storageNameOf(current) !== storageNameOf(entry);
    return isMoved ? current : undefined;
}

/** Opens the bytes where the record had them, or where they were moved after it was read. */
async function openWherever(
    services: ImageServices,
    context: RequestContext,
    wanted: Wanted,
): Promise<{ readonly opened: OpenedFile | undefined; readonly stor: string }> {
    const options = { ...wanted.range, signal: context.signal };
    const what = `error reading image ${wordFor(wanted.name)}`;
    let { entry } = wanted;
    for (let moves = 0; ; moves += 1) {
        const storage = requireStorage(services, storageNameOf(entry));
        const opened = await storage.open(wanted.uuid, wanted.name, options).catch(failsAs(what));
        const moved =
            opened === undefined && moves < MAX_MOVES
                ? await movedTo(services, { ...wanted, entry })
                : undefined;
        if (moved === undefined) {
            return { opened, stor: storage.type };
        }
        entry = moved;
    }
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
    entry: BytesEntry,
    range: ByteRange | undefined,
): Promise<OpenedFile> {
    const { uuid } = image.raw;
    const { opened, stor } = await openWherever(services, context, { uuid, name, entry, range });
    const fail = (error: ApiError, facts: object): ApiError => {
        context.log.error({ uuid, file: name, stor, ...facts }, error.message);
        return error;
    };
    if (opened === undefined) {
        throw fail(resourceNotFound(`image "${uuid}" ${wordFor(name)} is missing from storage`), {});
    }
    if (opened.size !== entry.size) {
        opened.stream.destroy();
        throw fail(internalError(`image "${uuid}" ${wordFor(name)} is corrupt in storage`), {
            expected: entry.size,
            found: opened.size,
        });
    }
    return opened;
}
