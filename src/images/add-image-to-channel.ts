import { invalidParameter, validationFailed } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue, RawImage } from '../manifest/types.js';
import { changeImage, type Precondition } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { requireObject } from './object-rule.js';
import { channelNames } from './rules.js';

/** The channel the body names. @throws 422 */
function targetChannel(names: readonly string[], body: JsonValue | undefined): string {
    const target = requireObject(body)['channel'];
    const known = names.find((name) => name === target);
    if (known === undefined) {
        throw validationFailed(`unknown channel: ${text(target)}`, [{ field: 'channel', code: 'Invalid' }]);
    }
    return known;
}

/**
 * ChannelAddImage: puts an image of the selected channel into one more (http-api 3.16).
 *
 * @param body `{"channel": <name>}`; `undefined`: absent
 * @throws 404, 412, 422, 500, 503; on a server without channels the action is unknown: 422
 */
export async function addImageToChannel(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    body: JsonValue | undefined,
    precondition?: Precondition,
): Promise<StoredImage> {
    const change = (raw: RawImage) => {
        const names = channelNames(services.config.current);
        if (names === undefined) {
            throw invalidParameter('"channel-add" is not a valid action', [
                { field: 'action', code: 'Invalid' },
            ]);
        }
        const target = targetChannel(names, body);
        const present = raw.channels ?? [];
        return present.includes(target) ? undefined : { ...raw, channels: [...present, target] };
    };
    return changeImage(services, context, uuid, change, precondition);
}
