import { deepFreeze } from '../manifest/freeze.js';
import { withImportId } from '../manifest/import-id.js';
import type { JsonObject, RawImage } from '../manifest/types.js';
import type { ImageServices, RequestContext } from './context.js';
import { withLocalOwner } from './import-image.js';
import { newRecord } from './new-record.js';

/**
 * The record that a Docker or LXD import makes of a manifest: of this server's owner, and marked as the
 * import's until it is activated (jobs-and-imports 5.3, 6).
 *
 * @throws 422, 503
 */
export async function pulledRecord(
    services: ImageServices,
    context: RequestContext,
    manifest: JsonObject,
    importId: string,
): Promise<RawImage> {
    const owned = await withLocalOwner(services, manifest, false);
    const raw = newRecord(services, context, 'import', owned);
    return deepFreeze({ ...raw, x_imgapi: withImportId(undefined, importId) });
}
