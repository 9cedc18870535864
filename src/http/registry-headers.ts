import type { IncomingHttpHeaders } from 'node:http';
import type { RegistryHeaders } from '../images/docker/registry-credentials.js';

function single(value: string | readonly string[] | undefined): string | undefined {
    return typeof value === 'string' ? value : value?.[0];
}

/** The headers of a request that tell who asks Docker registries (jobs-and-imports 5.1). */
export function registryHeaders(headers: IncomingHttpHeaders): RegistryHeaders {
    const [auth, config] = [single(headers['x-registry-auth']), single(headers['x-registry-config'])];
    return { ...(auth === undefined ? {} : { auth }), ...(config === undefined ? {} : { config }) };
}
