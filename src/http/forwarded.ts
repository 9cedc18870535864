import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { ProxiedPeer } from './proxy-header.js';

/** Who is behind a request, proxies considered (operations 4.8). */
export interface ClientFacts {
    /** Address named by a trusted proxy; absent when the peer is no trusted proxy. */
    readonly clientAddress?: string;
    /** Whether the client talks TLS, to us or to a trusted proxy. */
    readonly secure: boolean;
}

/** The other end of the connection and what it says. */
export interface PeerFacts {
    readonly address: string | undefined;
    /** Whether it talks TLS to us. */
    readonly encrypted: boolean;
    /** Whom it has named in the PROXY protocol. */
    readonly proxied?: ProxiedPeer | undefined;
    readonly headers: IncomingHttpHeaders;
}

/** Longer `x-forwarded-for` lists are cut. */
const MAX_HOPS = 50;

const lists = new WeakMap<readonly string[], BlockList>();

function family(address: string): 'ipv4' | 'ipv6' {
    return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

function blockList(trusted: readonly string[]): BlockList {
    const known = lists.get(trusted);
    if (known !== undefined) {
        return known;
    }
    const list = new BlockList();
    for (const entry of trusted) {
        const [address = '', bits] = entry.split('/');
        if (bits === undefined) {
            list.addAddress(address, family(address));
        } else {
            list.addSubnet(address, Number(bits), family(address));
        }
    }
    lists.set(trusted, list);
    return list;
}

/** IPv4 addresses come as `::ffff:192.0.2.1` on sockets of both families. */
function plainAddress(text: string): string {
    return text.trim().replace(/^::ffff:(?=\d+\.)/i, '');
}

/** Addresses of a list, nearest first; brackets and ports are taken off. */
function hops(header: string): string[] {
    return header
        .split(',')
        .slice(-MAX_HOPS)
        .reverse()
        .map((hop) => plainAddress(hop.trim().replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')))
        .map((hop) => (/^\d+\.\d+\.\d+\.\d+:\d+$/.test(hop) ? hop.slice(0, hop.indexOf(':')) : hop));
}

function headerText(value: string | readonly string[] | undefined): string {
    return value === undefined ? '' : typeof value === 'string' ? value : value.join(',');
}

/** Behind a hop that is no address nothing can be believed; when all are trusted the last one counts. */
function nearestUntrusted(addresses: readonly string[], trusted: BlockList): string | undefined {
    let nearest: string | undefined;
    for (const address of addresses) {
        if (isIP(address) === 0) {
            return nearest;
        }
        nearest = address;
        if (!trusted.check(address, family(address))) {
            return nearest;
        }
    }
    return nearest;
}

/** Whether an address, of a socket or of a header, is one whose word is believed. */
export function isTrustedProxy(trustedProxies: readonly string[], address: string | undefined): boolean {
    const plain = plainAddress(address ?? '');
    return isIP(plain) !== 0 && blockList(trustedProxies).check(plain, family(plain));
}

/**
 * Reads `x-forwarded-for` and `x-forwarded-proto`, but only of a trusted peer: the client is the
 * right-most address that is not trusted itself. The PROXY protocol, which only trusted peers may speak,
 * puts whom it names in the place of the peer.
 */
export function clientFacts(trustedProxies: readonly string[], peerFacts: PeerFacts): ClientFacts {
    const { headers, proxied } = peerFacts;
    const named = proxied && plainAddress(proxied.address);
    const secure = peerFacts.encrypted || proxied?.encrypted === true;
    if (!isTrustedProxy(trustedProxies, named ?? peerFacts.address)) {
        return { secure, ...(named === undefined ? {} : { clientAddress: named }) };
    }
    const trusted = blockList(trustedProxies);
    const client = nearestUntrusted(hops(headerText(headers['x-forwarded-for'])), trusted) ?? named;
    const proto = headerText(headers['x-forwarded-proto']).split(',').at(-1)?.trim();
    return {
        secure: secure || proto === 'https',
        ...(client === undefined ? {} : { clientAddress: client }),
    };
}
