import { isIP, isIPv4 } from 'node:net';

function ipv4Bytes(address: string): number[] {
    return address.split('.').map(Number);
}

/** The groups of a part of an IPv6 address; the last may be written as an IPv4 address. */
function groupBytes(part: string): number[] {
    return part === ''
        ? []
        : part.split(':').flatMap((group) => {
              const value = Number.parseInt(group, 16);
              return group.includes('.') ? ipv4Bytes(group) : [value >> 8, value & 0xff];
          });
}

/**
 * The bytes of an address as written by people, URLs or resolvers: 4 or 16 of them.
 *
 * @returns `undefined` when the text is no address
 */
export function addressBytes(text: string): readonly number[] | undefined {
    const address = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
    if (isIP(address) === 0) {
        return undefined;
    }
    if (isIPv4(address)) {
        return ipv4Bytes(address);
    }
    const [head = '', tail] = address.split('::');
    const [before, after] = [groupBytes(head), groupBytes(tail ?? '')];
    const gap = tail === undefined ? 0 : 16 - before.length - after.length;
    return [...before, ...new Array<number>(gap).fill(0), ...after];
}

/** Whether the first `bits` bits are those of `prefix`. */
export function startsWith(bytes: readonly number[], prefix: readonly number[], bits: number): boolean {
    return prefix.every((wanted, index) => {
        const left = Math.min(8, Math.max(0, bits - index * 8));
        const mask = (0xff << (8 - left)) & 0xff;
        return ((bytes[index] ?? 0) & mask) === (wanted & mask);
    });
}

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** One text for all forms of an address: an IPv4-mapped one is the IPv4 address. */
export function addressKey(bytes: readonly number[]): string {
    const isMapped = bytes.length === 16 && startsWith(bytes, MAPPED_PREFIX, 96);
    return (isMapped ? bytes.slice(12) : bytes).join('.');
}
