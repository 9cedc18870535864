/** What a header of the PROXY protocol, version 2, is made of. */
export interface ProxyV2 {
    readonly command?: 'LOCAL' | 'PROXY';
    /** The source, with its port; absent: none is told. */
    readonly from?: readonly [address: string, port: number];
    /** What is behind the addresses: type and value. */
    readonly fields?: readonly (readonly [type: number, value: Buffer])[];
}

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function number16(value: number): Buffer {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return bytes;
}

/** The 16 bytes of an IPv6 address; `::` may stand in it once. */
function bytes6(address: string): Buffer {
    const [head = '', tail] = address.split('::');
    const groups = (text: string): string[] => text.split(':').filter(Boolean);
    const missing = 8 - groups(head).length - groups(tail ?? '').length;
    const all = [...groups(head), ...Array<string>(tail === undefined ? 0 : missing).fill('0')];
    return Buffer.concat([...all, ...groups(tail ?? '')].map((group) => number16(parseInt(group, 16))));
}

/** A field of type SSL (0x20): whether the client uses TLS. */
export function sslField(used: boolean): readonly [type: number, value: Buffer] {
    return [0x20, Buffer.from([used ? 1 : 0, 0, 0, 0, 0])];
}

/** The bytes of a header of version 2. */
export function proxyV2({ command = 'PROXY', from, fields = [] }: ProxyV2 = {}): Buffer {
    const isIPv6 = from?.[0].includes(':') === true;
    const bytes = (address: string): Buffer =>
        isIPv6 ? bytes6(address) : Buffer.from(address.split('.').map(Number));
    const ends =
        from === undefined
            ? []
            : [bytes(from[0]), bytes(isIPv6 ? '::1' : '127.0.0.1'), number16(from[1]), number16(443)];
    const rest = Buffer.concat([
        ...ends,
        ...fields.flatMap(([type, value]) => [Buffer.from([type]), number16(value.length), value]),
    ]);
    const kind = from === undefined ? 0x00 : isIPv6 ? 0x21 : 0x11;
    const start = Buffer.from([command === 'LOCAL' ? 0x20 : 0x21, kind]);
    return Buffer.concat([SIGNATURE, start, number16(rest.length), rest]);
}
