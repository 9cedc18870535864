import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** Whom a proxy names as the other end of a connection it has passed on. */
export interface ProxiedPeer {
    readonly address: string;
    readonly port: number;
    /** Whether that one talks TLS to the proxy, as far as the proxy tells. */
    readonly encrypted: boolean;
}

/** What stands in front of a connection in the PROXY protocol. */
export interface ProxyHeader {
    /** Bytes of it; the connection's own are behind. */
    readonly length: number;
    /** Absent: the proxy speaks for itself, as in a health check, or does not know whom for. */
    readonly peer?: ProxiedPeer;
}

/** Longest header of version 1, CRLF included. */
const MAX_V1 = 107;
/** Longest rest of a header of version 2. */
const MAX_V2 = 4096;

const V1_START = Buffer.from('PROXY ');
const V2_START = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** Signature, version with command, family with protocol, length of the rest. */
const V2_FIXED = 16;

/** Family and protocol of version 2, and how many bytes its two ends take. */
const V2_ENDS: ReadonlyMap<number, number> = new Map([
    [0x00, 0],
    [0x11, 12],
    [0x21, 36],
    [0x31, 216],
]);
const TCP4 = 0x11;
const TCP6 = 0x21;
const LOCAL = 0x20;
const PROXY = 0x21;

/** Type of the field that tells of TLS, and the bit for a client that uses it. */
const SSL_FIELD = 0x20;
const SSL_USED = 0x01;

/** One form for one address, however it was written. */
function canonical(address: string, family: 'ipv4' | 'ipv6'): string {
    return new SocketAddress({ address, family }).address;
}

function portOf(text: string | undefined): number {
    const port = /^(?:0|[1-9]\d{0,4})$/.test(text ?? '') ? Number(text) : Infinity;
    if (port > 0xffff) {
        throw new Error('no port in the PROXY header');
    }
    return port;
}

function readV1(bytes: Buffer): ProxyHeader | undefined {
    const end = bytes.subarray(0, MAX_V1).indexOf('\r\n');
    if (end < 0) {
        if (bytes.length >= MAX_V1) {
            throw new Error('the PROXY header does not end');
        }
        return undefined;
    }
    const length = end + 2;
    const [, family, address = '', to = '', port, toPort, ...more] = bytes
        .toString('latin1', 0, end)
        .split(' ');
    if (family === 'UNKNOWN') {
        return { length };
    }
    const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false;
    if (!isAddress(address) || !isAddress(to) || more.length > 0 || address.includes('%')) {
        throw new Error('no addresses in the PROXY header');
    }
    portOf(toPort);
    const peer = { address: canonical(address, family === 'TCP4' ? 'ipv4' : 'ipv6'), port: portOf(port) };
    return { length, peer: { ...peer, encrypted: false } };
}

/** Whether the fields behind the addresses tell of TLS; all others are skipped. */
function tellsOfTls(fields: Buffer): boolean {
    let at = 0;
    while (at + 3 < fields.length) {
        const [type, first] = [fields.readUInt8(at), fields.readUInt8(at + 3)];
        const size = fields.readUInt16BE(at + 1);
        if (type === SSL_FIELD && size > 0) {
            return (first & SSL_USED) !== 0;
        }
        at += 3 + size;
    }
    return false;
}

function address6(bytes: Buffer): string {
    const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
    return canonical(groups.join(':'), 'ipv6');
}

/** @param rest what the header's length counts */
function peerV2(kind: number, rest: Buffer, ends: number): ProxiedPeer | undefined {
    const encrypted = tellsOfTls(rest.subarray(ends));
    switch (kind) {
        case TCP4:
            return { address: rest.subarray(0, 4).join('.'), port: rest.readUInt16BE(8), encrypted };
        case TCP6:
            return { address: address6(rest), port: rest.readUInt16BE(32), encrypted };
        default:
            return undefined;
    }
}

function readV2(bytes: Buffer): ProxyHeader | undefined {
    if (bytes.length < V2_FIXED) {
        return undefined;
    }
    const [command, kind, size] = [bytes.readUInt8(12), bytes.readUInt8(13), bytes.readUInt16BE(14)];
    if (command !== LOCAL && command !== PROXY) {
        throw new Error('the PROXY header has another version or command');
    }
    if (size > MAX_V2) {
        throw new Error('the PROXY header is too long');
    }
    const ends = V2_ENDS.get(kind);
    // What goes with `LOCAL` has no meaning.
    if (command === PROXY && (ends === undefined || size < ends)) {
        throw new Error('no addresses in the PROXY header');
    }
    const length = V2_FIXED + size;
    if (bytes.length < length) {
        return undefined;
    }
    const peer = command === LOCAL ? undefined : peerV2(kind, bytes.subarray(V2_FIXED, length), ends ?? 0);
    return { length, ...(peer === undefined ? {} : { peer }) };
}

function startsLike(bytes: Buffer, start: Buffer): boolean {
    const length = Math.min(bytes.length, start.length);
    return bytes.subarray(0, length).equals(start.subarray(0, length));
}

/**
 * Reads the header of the PROXY protocol, version 1 or 2, with which a connection begins.
 *
 * @param bytes the first bytes of a connection, as many as have come
 * @returns the header; `undefined`: more bytes are needed to tell
 * @throws Error when there is none, or one that is not well formed
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
    const isV2 = startsLike(bytes, V2_START);
    if (!isV2 && !startsLike(bytes, V1_START)) {
        throw new Error('the connection does not begin with a PROXY header');
    }
    if (bytes.length < V1_START.length) {
        return undefined;
    }
    return isV2 ? readV2(bytes) : readV1(bytes);
}
