import { ApiError } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { ImageIcon } from '../manifest/types.js';
import { withKeyOf, withoutKeys } from './change-image.js';
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
import { ICON_UPLOAD } from './upload-kinds.js';

/** Media types an icon may have, in the order messages list them (http-api 3.12). */
const ICON_TYPES: readonly string[] = ['image/jpeg', 'image/gif', 'image/png'];

/** An upload of an icon, as the caller describes it. */
export interface IconUploadInput extends UploadInput {
    /** As sent, with parameters. */
    readonly contentType?: string;
}

/** The bare media type of an icon. @throws 400 `Upload` */
function requireIconType(header: string | undefined): string {
    const mediaType = header?.split(';', 1)[0]?.trim().toLowerCase();
    if (mediaType === undefined || !ICON_TYPES.includes(mediaType)) {
        const valid = ICON_TYPES.join(', ');
        throw new ApiError('Upload', `invalid content-type, ${String(header)}, must be one of ${valid}`);
    }
    return mediaType;
}

/** The record's entry for an icon, keys in the order they are stored (manifest 8.2). */
function iconEntry(upload: Upload, contentType: string, now: number): ImageIcon {
    const { received } = upload;
    return {
        sha1: received.sha1,
        size: received.size,
        contentType,
        contentMD5: received.md5,
        mtime: new Date(now).toISOString(),
        stor: upload.storage,
    };
}

function iconSlot(entry: ImageIcon): UploadSlot {
    return {
        entry,
        check: () => undefined,
        current: (raw) => raw.icon,
        behind: () => [],
        emptied: (raw) => withoutKeys(raw, 'icon'),
        restored: (raw, before) => withKeyOf(before, raw, 'icon'),
        filled: (raw) => ({ ...raw, icon: entry }),
    };
}

/**
 * AddImageIcon: receives the icon of an image in any state, replacing the one it has (http-api 3.12).
 *
 * @throws 400, 404, 422, 500, 503; see the table in http-api 3.12
 */
export async function addImageIcon(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    input: IconUploadInput,
): Promise<StoredImage> {
    const { raw } = await ownImageSeen(services, context, uuid);
    const contentType = requireIconType(input.contentType);
    const preferred = preferredStorage(context, input.storage);
    requireAllowedLength(ICON_UPLOAD, input.contentLength);
    const target = { uuid, owner: raw.owner, preferred };
    const upload = await receiveUpload(services, context, ICON_UPLOAD, target, input);
    const entry = iconEntry(upload, contentType, services.clock.now());
    return finishUpload(services, context, uuid, { kind: ICON_UPLOAD, upload, slot: iconSlot(entry) });
}
