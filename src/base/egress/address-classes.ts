import { addressBytes, startsWith } from './ip-address.js';

/** A block of addresses: `10.0.0.0/8`. */
interface Block {
    readonly prefix: readonly number[];
    readonly bits: number;
}

function block(text: string): Block {
    const [address = '', bits = ''] = text.split('/');
    return { prefix: addressBytes(address) ?? [], bits: Number(bits) };
}

/** IPv4 addresses that are not on the public Internet. */
const IPV4_BLOCKS: readonly Block[] = [
    '0.0.0.0/8', // unspecified, this network
    '10.0.0.0/8', // private
    '100.64.0.0/10', // shared by carriers
    '127.0.0.0/8', // loopback
    '169.254.0.0/16', // link-local
    '172.16.0.0/12', // private
    '192.0.0.0/24', // protocol assignments
    '192.0.2.0/24', // documentation
    '192.88.99.0/24', // relays from 6to4
    '192.168.0.0/16', // private
    '198.18.0.0/15', // measurements
    '198.51.100.0/24', // documentation
    '203.0.113.0/24', // documentation
    '224.0.0.0/4', // multicast
    '240.0.0.0/4', // reserved, broadcast
].map(block);

/** All of public IPv6 is in here: loopback, fc00::/7, fe80::/10, ff00::/8 and the reserved rest are not. */
const IPV6_PUBLIC = block('2000::/3');

const IPV6_BLOCKS: readonly Block[] = [
    '2001::/23', // protocol assignments, measurements, identifiers
    '2001:db8::/32', // documentation
    '3fff::/20', // documentation
].map(block);

/** Forms of IPv6 addresses that hold IPv4 addresses, and where; all of those count. */
const EMBEDDING: readonly (Block & { readonly ipv4: (bytes: readonly number[]) => number[][] })[] = [
    // IPv4-mapped
    { ...block('::ffff:0:0/96'), ipv4: (bytes) => [bytes.slice(12)] },
    // NAT64
    { ...block('64:ff9b::/96'), ipv4: (bytes) => [bytes.slice(12)] },
    // 6to4
    { ...block('2002::/16'), ipv4: (bytes) => [bytes.slice(2, 6)] },
    // Teredo: the server, and the client with its bits turned
    {
        ...block('2001::/32'),
        ipv4: (bytes) => [bytes.slice(4, 8), bytes.slice(12).map((byte) => byte ^ 0xff)],
    },
];

function isIn(bytes: readonly number[], { prefix, bits }: Block): boolean {
    return prefix.length === bytes.length && startsWith(bytes, prefix, bits);
}

function isPublicIpv4(bytes: readonly number[]): boolean {
    return !IPV4_BLOCKS.some((found) => isIn(bytes, found));
}

function isPublicIpv6(bytes: readonly number[]): boolean {
    const form = EMBEDDING.find((found) => isIn(bytes, found));
    if (form !== undefined) {
        return form.ipv4(bytes).every(isPublicIpv4);
    }
    return isIn(bytes, IPV6_PUBLIC) && !IPV6_BLOCKS.some((found) => isIn(bytes, found));
}

/**
 * Whether an address is on the public Internet: not loopback, unspecified, private, link-local, multicast
 * or reserved, nor a form of IPv6 that leads to such an IPv4 address (jobs-and-imports 7.4). What is no
 * address is not public either.
 */
export function isPublicAddress(text: string): boolean {
    const bytes = addressBytes(text);
    if (bytes === undefined) {
        return false;
    }
    return bytes.length === 4 ? isPublicIpv4(bytes) : isPublicIpv6(bytes);
}
