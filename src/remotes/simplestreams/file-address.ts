import { OutgoingError } from '../../base/http-errors.js';
import type { AddressSupplier } from '../../base/http-supplier.js';
import { parseHttpUrl } from '../../base/http-urls.js';

/** Paths may hold colons, as `com.ubuntu.cloud:released:download.json` does. */
const SCHEME_RE = /^[a-z][a-z0-9+.-]*:\/\//i;

/** Where a document or file of a server of LXD images lies. */
export interface FileAddress {
    readonly url: string;
    readonly supplier: AddressSupplier;
}

/** The URL of a server as paths are put behind it. */
function baseOf(registry: string): URL {
    const url = parseHttpUrl(registry);
    if (url === undefined) {
        throw new OutgoingError('malformed', 'no http or https URL');
    }
    url.search = '';
    url.hash = '';
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/`;
    return url;
}

/**
 * The address a path of a document means (jobs-and-imports 6). What leads to another server has not been
 * chosen by who wrote the configuration, and is checked like an address that an operator gives (7.4).
 *
 * @param registry the server's URL in the configuration
 * @throws OutgoingError `malformed` when it is no http or https URL
 */
export function fileAddress(registry: string, path: string): FileAddress {
    const base = baseOf(registry);
    const isPlain = !path.startsWith('/') && !SCHEME_RE.test(path);
    const url = parseHttpUrl(isPlain ? `./${path}` : path, base);
    if (url === undefined) {
        throw new OutgoingError('malformed', `a path of ${base.host} leads to no http or https URL`);
    }
    if (url.origin === base.origin) {
        url.username = base.username;
        url.password = base.password;
        return { url: url.href, supplier: 'config' };
    }
    url.username = '';
    url.password = '';
    return { url: url.href, supplier: 'operator' };
}
