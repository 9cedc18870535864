import { BlockList, isIP } from 'node:net';
import { portOf } from './http-urls.js';

function familyOf(address: string): 'ipv4' | 'ipv6' {
    return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** `10.0.0.0/8`: addresses of a network; names are not looked up. */
function inNetwork(entry: string, host: string): boolean {
    const [network = '', bits = ''] = entry.split('/');
    if (isIP(network) === 0 || isIP(host) === 0 || !/^\d{1,3}$/.test(bits)) {
        return false;
    }
    if (Number(bits) > (isIP(network) === 6 ? 128 : 32)) {
        return false;
    }
    const list = new BlockList();
    list.addSubnet(network, Number(bits), familyOf(network));
    return list.check(host, familyOf(host));
}

function matchesEntry(entry: string, host: string, port: string): boolean {
    if (entry === '*' || inNetwork(entry, host)) {
        return true;
    }
    // A colon belongs to a port only behind a name, an IPv4 address or a bracket.
    const [, name = '', wantedPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? ['', entry];
    const domain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
    if (domain === '' || (wantedPort !== undefined && wantedPort !== port)) {
        return false;
    }
    return host === domain || host.endsWith(`.${domain}`);
}

/**
 * Tells whether `NO_PROXY` excludes a URL from the proxy: a list, separated by commas or blanks, of
 * `*`, host names (their subdomains included, with or without a leading dot), addresses, networks in
 * CIDR form, each name or address with an optional port.
 */
export function bypassesProxy(url: URL, noProxy: string): boolean {
    const host = url.hostname.toLowerCase().replace(/^\[|\]$/g, '');
    const port = portOf(url);
    return noProxy
        .toLowerCase()
        .split(/[\s,]+/)
        .some((entry) => entry !== '' && matchesEntry(entry, host, port));
}
