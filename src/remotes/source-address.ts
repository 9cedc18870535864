import type { AddressSupplier } from '../base/http-supplier.js';
import { parseHttpUrl } from '../base/http-urls.js';
import type { SourceAddress } from './image-source.js';

function shown(url: URL): string {
    const bare = new URL(url);
    bare.username = '';
    bare.password = '';
    return bare.href.replace(/\/+$/, '');
}

/**
 * Reads the address of an image server: `?channel=` is taken out of it, a path stays (jobs-and-imports 0.5).
 *
 * @returns `undefined` when the text is no http or https URL
 */
export function parseSourceAddress(text: string, supplier: AddressSupplier): SourceAddress | undefined {
    const url = parseHttpUrl(text);
    if (url === undefined) {
        return undefined;
    }
    const channel = url.searchParams.get('channel');
    url.search = '';
    url.hash = '';
    return {
        url: url.href.replace(/\/+$/, ''),
        shownUrl: shown(url),
        ...(channel === null || channel === '' ? {} : { channel }),
        supplier,
    };
}

/** The address as a text that {@link parseSourceAddress} reads again, user info included. */
export function sourceText({ url, channel }: SourceAddress): string {
    return channel === undefined ? url : `${url}?${new URLSearchParams({ channel }).toString()}`;
}

/** A text that should be a URL, without what might be user info (jobs-and-imports 0.5). */
export function withoutUserInfo(text: string): string {
    return text.replace(/^(\s*(?:[a-z][a-z0-9+.-]*:)?[/\\]*)[^/\\?#]*@/i, '$1');
}
