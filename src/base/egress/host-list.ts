import { parseHttpUrl } from '../http-urls.js';
import { addressBytes, addressKey } from './ip-address.js';

/** A host as URLs name it, and what port is asked for there. */
export interface HostPort {
    readonly host: string;
    readonly port: string;
}

/** One text for all ways to write a name or an address. */
function hostKey(host: string): string {
    const bytes = addressBytes(host);
    return bytes === undefined ? host.toLowerCase().replace(/\.$/, '') : addressKey(bytes);
}

/** `name`, `name:port`, an address, `[address]:port`; an address of IPv6 alone needs no brackets. */
function parseEntry(entry: string): { readonly key: string; readonly port?: string } | undefined {
    const text = entry.trim();
    const host = addressBytes(text)?.length === 16 && !text.startsWith('[') ? `[${text}]` : text;
    const url = parseHttpUrl(`http://${host}`);
    if (url === undefined || url.hostname === '') {
        return undefined;
    }
    const [, port] = /:(\d+)$/.exec(host) ?? [];
    return { key: hostKey(url.hostname), ...(port === undefined ? {} : { port: String(Number(port)) }) };
}

/** Whether a list of hosts names one: just so, not a domain above it. An entry without port is for all. */
export function isListed(list: readonly string[], { host, port }: HostPort): boolean {
    const key = hostKey(host);
    return list.some((entry) => {
        const found = parseEntry(entry);
        return found?.key === key && (found.port === undefined || found.port === port);
    });
}
