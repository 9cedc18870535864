import { parseHttpUrl } from '../../base/http-urls.js';

/**
 * Where to connect to for `manta.url`, which may lack its scheme: then it is https, as Manta's client has it.
 *
 * @throws Error for anything else, for the start to fail with
 */
export function mantaOrigin(url: string): string {
    const parsed = parseHttpUrl(url.includes('://') ? url : `https://${url}`);
    if (parsed === undefined || parsed.pathname !== '/' || parsed.search !== '') {
        throw new Error(`config.manta.url is no URL of a server: ${url}`);
    }
    return parsed.origin;
}
