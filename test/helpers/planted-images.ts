import { addImageFile, type FileUploadInput } from '#lib/images/add-image-file.js';
import { addImageIcon, type IconUploadInput } from '#lib/images/add-image-icon.js';
import { newUuid } from '#lib/base/uuid.js';
import type { RequestContext } from '#lib/images/context.js';
import type { StoredImage } from '#lib/database/database.js';
import type { JsonObject } from '#lib/manifest/types.js';
import { type Bench, md5, sha1, upload } from './image-bench.js';
import { manifest, PNG, rawRecord, USERS } from './images.js';

export const FIRST = Buffer.from('the first bytes');
export const SECOND = Buffer.from('other bytes, and more of them');
export const PUBLISHED = '2014-05-06T07:08:09.123Z';

/** A body for CreateImage. */
export function imageBody(changes: JsonObject = {}): JsonObject {
    return manifest(changes) as JsonObject;
}

/** A record's entry for a file in the local storage. */
export function fileEntry(bytes: Buffer = FIRST): Record<string, unknown> {
    return {
        sha1: sha1(bytes),
        size: bytes.length,
        contentMD5: md5(bytes),
        stor: 'local',
        compression: 'gzip',
    };
}

interface PlantOptions {
    readonly active?: boolean;
    /** Whether the image has {@link FIRST} as its file; an active one always has. */
    readonly file?: boolean;
    /** Further keys of the record. */
    readonly more?: Readonly<Record<string, unknown>>;
}

/** Puts an image of vader in place as it may be found in the database, and gives its uuid. */
export async function plantImage(bench: Bench, options: PlantOptions = {}): Promise<string> {
    const { active = false, file = active } = options;
    const uuid = newUuid();
    if (file) await bench.plantFile(uuid, 'file0', FIRST);
    await bench.plant(
        rawRecord({
            uuid,
            name: 'planted',
            owner: USERS.vader,
            activated: active,
            ...(active ? { published_at: PUBLISHED } : {}),
            more: { ...(file ? { files: [fileEntry()] } : {}), ...options.more },
        }),
    );
    return uuid;
}

/** AddImageFile. */
export function addFile(
    bench: Bench,
    uuid: string,
    bytes: Buffer,
    input: Partial<FileUploadInput> = {},
    context: Partial<RequestContext> = {},
): Promise<StoredImage> {
    const { start } = upload(bytes);
    return addImageFile(bench.services, bench.context(context), uuid, {
        compression: 'gzip',
        start,
        ...input,
    });
}

/** AddImageIcon. */
export function addIcon(
    bench: Bench,
    uuid: string,
    bytes: Buffer = PNG,
    input: Partial<IconUploadInput> = {},
    context: Partial<RequestContext> = {},
): Promise<StoredImage> {
    const { start } = upload(bytes);
    return addImageIcon(bench.services, bench.context(context), uuid, {
        contentType: 'image/png',
        start,
        ...input,
    });
}
