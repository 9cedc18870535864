import type { Config } from '../../base/config-types.js';
import { internalError, validationFailed } from '../../base/errors.js';
import type { SourceAddress } from '../../remotes/image-source.js';
import { parseSourceAddress } from '../../remotes/source-address.js';

/** The datacenters that images can be copied from and to, by their names, apart from this one. */
export function otherDatacenters({ datacenterName, imgapiUrlFromDatacenter }: Config): readonly string[] {
    return Object.keys(imgapiUrlFromDatacenter ?? {}).filter((name) => name !== datacenterName);
}

/**
 * Where the image server of another datacenter is (jobs-and-imports 3.5 #3, #4).
 *
 * @throws 422 `ValidationFailed` for a name that is not configured, or is our own; 500 for one without a
 * usable URL
 */
export function datacenterAddress(config: Config, name: string): SourceAddress {
    const { datacenterName, imgapiUrlFromDatacenter = {} } = config;
    const url = Object.hasOwn(imgapiUrlFromDatacenter, name) ? imgapiUrlFromDatacenter[name] : undefined;
    const refuse = (what: string): never => {
        const others = otherDatacenters(config).join(', ');
        throw validationFailed(`${what}, valid datacenters names are: ${others}`, [
            { field: 'datacenter', code: 'Invalid' },
        ]);
    };
    if (url === undefined) {
        return refuse(`datacenter "${name}" is not supported`);
    }
    if (name === datacenterName) {
        return refuse('cannot import into the same datacenter');
    }
    const address = parseSourceAddress(url, 'config');
    if (address === undefined) {
        throw internalError(`the URL of datacenter "${name}" is not usable`);
    }
    return address;
}
