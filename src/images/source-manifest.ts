import type { JsonObject } from '../manifest/types.js';
import type { SourceAddress, SourceRequest } from '../remotes/image-source.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAsRemote } from './remote-failure.js';

/**
 * Reads the manifest of an image at a source, as an operator (jobs-and-imports 3.2 #3, 3.3 #5).
 *
 * @throws 503 `RemoteSourceError`; 422 when the guard refused the host
 */
export async function sourceManifest(
    services: ImageServices,
    { requestId, signal }: RequestContext,
    uuid: string,
    address: SourceAddress,
    timeouts?: SourceRequest['timeouts'],
): Promise<JsonObject> {
    const request = { requestId, signal, ...(timeouts === undefined ? {} : { timeouts }) };
    return services.sources
        .at(address)
        .manifest(uuid, request)
        .catch(failsAsRemote(`Unable to get manifest for image ${uuid}`));
}
