import { invalidParameter, validationFailed } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { text } from '../manifest/coerce.js';
import type { JsonObject, JsonValue } from '../manifest/types.js';
import type { ImageServices, RequestContext } from './context.js';
import { requireAccountUuid } from './load.js';
import { newRecord } from './new-record.js';
import { requireObject } from './object-rule.js';
import { requireKnownOwner } from './owner-check.js';
import { findOrigin, storeNewImage } from './store-new-image.js';

/** The body with the calling account as owner (http-api 3.3 #2, #3). @throws 422 `InvalidParameter` */
export function ownedByAccount(body: JsonObject, account: string | undefined): JsonObject {
    requireAccountUuid(account);
    if (account === undefined) {
        return body;
    }
    if (Boolean(body['owner']) && body['owner'] !== account) {
        const given = text(body['owner']);
        throw invalidParameter(
            `invalid owner: given owner, "${given}", does not match account, "${account}"`,
            [{ field: 'owner', code: 'Invalid' }],
        );
    }
    return { ...body, owner: account };
}

/**
 * CreateImage: a new, unactivated image without files under a fresh uuid (http-api 3.3).
 *
 * @param body `undefined`: absent
 * @throws 422, 500, 503; see the table in http-api 3.3
 */
export async function createImage(
    services: ImageServices,
    context: RequestContext,
    body: JsonValue | undefined,
): Promise<StoredImage> {
    const owned = ownedByAccount(requireObject(body), context.account);
    if (Object.hasOwn(owned, 'state')) {
        throw validationFailed('invalid image data: "state"', [
            { field: 'state', code: 'NotAllowed', message: 'Parameter cannot be set' },
        ]);
    }
    const data = Object.hasOwn(owned, 'v') ? owned : { ...owned, v: 2 };
    await requireKnownOwner(services, data['owner']);
    await findOrigin(services, context, data['origin']);
    const raw = newRecord(services, context, 'create', data);
    return storeNewImage(services, context, raw);
}
