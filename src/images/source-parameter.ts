import { invalidParameter } from '../base/errors.js';
import type { AddressSupplier } from '../base/http-supplier.js';
import type { SourceAddress } from '../remotes/image-source.js';
import { parseSourceAddress, withoutUserInfo } from '../remotes/source-address.js';
import type { ImageServices, RequestContext } from './context.js';

/**
 * Who answers for an address: a workflow service names sources that are in the configuration, which are
 * never guarded (jobs-and-imports 7.4).
 */
function supplierOf(services: ImageServices, { account }: RequestContext, url: string): AddressSupplier {
    if (account !== undefined) {
        return 'account';
    }
    const configured = Object.values(services.config.current.imgapiUrlFromDatacenter ?? {});
    const isConfigured = configured.some((known) => parseSourceAddress(known, 'config')?.url === url);
    return isConfigured ? 'config' : 'operator';
}

/**
 * Reads the parameter `source`, the address of another image server (jobs-and-imports 0.5).
 *
 * @throws 422 `InvalidParameter`
 */
export function requireSource(
    services: ImageServices,
    context: RequestContext,
    given: string,
): SourceAddress {
    const address = parseSourceAddress(given, 'operator');
    if (address === undefined) {
        throw invalidParameter(`invalid "source": "${withoutUserInfo(given)}"`, [
            { field: 'source', code: 'Invalid' },
        ]);
    }
    return { ...address, supplier: supplierOf(services, context, address.url) };
}
