import { invalidParameter } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import type { StoredImage } from '../database/database.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue, RawImage } from '../manifest/types.js';
import { changeImage } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';

/** The accounts a body lists. @throws 422 `InvalidParameter` */
function accountList(body: JsonValue | undefined): readonly string[] {
    if (!Array.isArray(body)) {
        throw invalidParameter('invalid image "acl" (not an array)', [{ field: 'acl', code: 'Invalid' }]);
    }
    return (body as readonly JsonValue[]).map((item, index) => {
        if (!isUuid(item)) {
            throw invalidParameter(`invalid image "acl" (item ${index} is not a UUID): ${text(item)}`, [
                { field: 'acl', code: 'Invalid' },
            ]);
        }
        return item;
    });
}

/**
 * AddImageAcl and RemoveImageAcl: adds accounts that are not listed yet, or takes listed ones away;
 * the others keep their order (http-api 3.17).
 *
 * @param body array of account UUIDs; `undefined`: absent
 * @throws 404, 422, 500, 503
 */
export async function changeAcl(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    change: 'add' | 'remove',
    body: JsonValue | undefined,
): Promise<StoredImage> {
    return changeImage(services, context, uuid, (raw: RawImage) => {
        const named = new Set(accountList(body));
        const listed = new Set(raw.acl);
        const acl =
            change === 'add'
                ? [...raw.acl, ...[...named].filter((account) => !listed.has(account))]
                : raw.acl.filter((account) => !named.has(account));
        return acl.length === raw.acl.length ? undefined : { ...raw, acl };
    });
}
