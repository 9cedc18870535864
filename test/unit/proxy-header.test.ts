import { deepStrictEqual as deepEqual } from 'node:assert';
import { isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { clientFacts, isTrustedProxy } from '#lib/http/forwarded.js';
import { readProxyHeader } from '#lib/http/proxy-header.js';
import { proxyV2, sslField } from '../helpers/proxy-headers.js';

const port = fc.integer({ min: 0, max: 65_535 });
const address = fc.oneof(
    fc.ipV4(),
    // Without a dotted end, which the helper does not write.
    fc.ipV6().filter((text) => !text.includes('.')),
);
/** What follows a header: a request, or anything. */
const following = fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes));

function canonical(text: string): string {
    return new SocketAddress({ address: text, family: isIPv6(text) ? 'ipv6' : 'ipv4' }).address;
}

/** However many bytes have come: nothing is told before the last of them, and the same from then on. */
function checkArrival(header: Buffer, behind: Buffer, expected: unknown): void {
    for (let length = 0; length < header.length; length += 1) {
        if (readProxyHeader(header.subarray(0, length)) !== undefined) {
            throw new Error(`told after ${length} of ${header.length} bytes`);
        }
    }
    deepEqual(readProxyHeader(Buffer.concat([header, behind])), expected);
}

void t.test('version 1', (t) => {
    fc.assert(
        fc.property(address, port, port, following, (from, fromPort, toPort, behind) => {
            const family = isIPv6(from) ? 'TCP6 %s ::1' : 'TCP4 %s 127.0.0.1';
            const header = Buffer.from(`PROXY ${family.replace('%s', from)} ${fromPort} ${toPort}\r\n`);
            const peer = { address: canonical(from), port: fromPort, encrypted: false };
            checkArrival(header, behind, { length: header.length, peer });
        }),
        { numRuns: 50 },
    );
    for (const line of ['PROXY UNKNOWN\r\n', `PROXY UNKNOWN ${'f'.repeat(91)}\r\n`]) {
        checkArrival(Buffer.from(line), Buffer.from('GET / HTTP/1.1\r\n'), { length: line.length });
    }
    t.end();
});

void t.test('version 2', (t) => {
    const field = fc.tuple(
        fc.integer({ min: 0, max: 255 }).filter((type) => type !== 0x20),
        fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
        fc.property(
            fc.option(fc.tuple(address, port), { nil: undefined }),
            fc.array(field, { maxLength: 4 }),
            fc.option(fc.boolean(), { nil: undefined }),
            following,
            (from, others, tls, behind) => {
                const fields = tls === undefined ? others : [...others, sslField(tls)];
                const header = proxyV2({ ...(from === undefined ? {} : { from }), fields });
                checkArrival(header, behind, {
                    length: header.length,
                    ...(from === undefined
                        ? {}
                        : { peer: { address: canonical(from[0]), port: from[1], encrypted: tls === true } }),
                });
                const local = proxyV2({ command: 'LOCAL', ...(from === undefined ? {} : { from }), fields });
                checkArrival(local, behind, { length: local.length });
            },
        ),
        { numRuns: 50 },
    );
    const longest = proxyV2({ from: ['192.0.2.1', 1], fields: [[4, Buffer.alloc(4096 - 12 - 3)]] });
    t.equal(longest.length, 16 + 4096);
    t.match(readProxyHeader(longest), { length: longest.length });
    t.match(
        readProxyHeader(proxyV2({ from: ['192.0.2.1', 1], fields: [[0x20, Buffer.alloc(0)]] })),
        { peer: { encrypted: false } },
        'a field that says nothing',
    );
    const cut = proxyV2({ from: ['192.0.2.1', 1], fields: [sslField(true)] }).subarray(0, -3);
    cut.writeUInt16BE(cut.length - 16, 14);
    t.match(readProxyHeader(cut), { length: cut.length }, 'a field that is longer than the header');
    t.end();
});

void t.test('what is no header is refused as soon as that is clear, and nothing else happens', (t) => {
    const v2 = (change: (header: Buffer) => void): Buffer => {
        const header = proxyV2({ from: ['192.0.2.1', 1] });
        change(header);
        return header;
    };
    for (const bytes of [
        'G',
        'GET / HTTP/1.1\r\n',
        'proxy TCP4',
        'PROXY\r',
        'PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n',
        'PROXY TCP4 192.0.2.1 127.0.0.1 1 2 3\r\n',
        'PROXY TCP4 192.0.2.1 127.0.0.1 65536 1\r\n',
        'PROXY TCP4 192.0.2.1 127.0.0.1 1 -1\r\n',
        'PROXY TCP4 192.0.2.1 127.0.0.1 01 1\r\n',
        'PROXY TCP4 192.0.2 127.0.0.1 1 1\r\n',
        'PROXY TCP4 ::1 ::1 1 1\r\n',
        'PROXY TCP6 192.0.2.1 127.0.0.1 1 1\r\n',
        'PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n',
        'PROXY TCP5 192.0.2.1 127.0.0.1 1 1\r\n',
        'PROXY  TCP4 192.0.2.1 127.0.0.1 1 1\r\n',
        `PROXY UNKNOWN ${'f'.repeat(93)}`,
        '\r\n\r\n\0\r\nQUIX',
        v2((header) => header.writeUInt8(0x11, 12)),
        v2((header) => header.writeUInt8(0x22, 12)),
        v2((header) => header.writeUInt8(0x12, 13)),
        v2((header) => header.writeUInt8(0x21, 13)),
        v2((header) => header.writeUInt16BE(11, 14)),
        v2((header) => header.writeUInt16BE(4097, 14)),
    ]) {
        const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
        t.throws(() => readProxyHeader(all), Error, all.toString('latin1'));
    }
    fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (tail, one) => {
            const start = one ? Buffer.from('PROXY ') : proxyV2().subarray(0, 12);
            const bytes = Buffer.concat([start, tail]);
            try {
                const header = readProxyHeader(bytes);
                return header === undefined ? bytes.length < 4112 : header.length <= bytes.length;
            } catch (error) {
                return error instanceof Error && error.constructor === Error;
            }
        }),
        { numRuns: 500 },
    );
    t.end();
});

void t.test('whom a PROXY header names is the peer of the forwarded headers', (t) => {
    const trusted = ['127.0.0.1', '10.0.0.0/8'];
    const of = (address: string, headers = {}, encrypted = false): unknown =>
        clientFacts(trusted, {
            address: '127.0.0.1',
            encrypted: false,
            proxied: { address, port: 1, encrypted },
            headers,
        });
    const spoofed = { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'https' };
    t.strictSame(of('192.0.2.1'), { clientAddress: '192.0.2.1', secure: false });
    t.strictSame(of('192.0.2.1', spoofed), { clientAddress: '192.0.2.1', secure: false }, 'not believed');
    t.strictSame(of('192.0.2.1', {}, true), { clientAddress: '192.0.2.1', secure: true });
    t.strictSame(of('10.1.1.1', spoofed), { clientAddress: '6.6.6.6', secure: true }, 'another proxy');
    t.strictSame(of('10.1.1.1'), { clientAddress: '10.1.1.1', secure: false });
    t.strictSame(of('::ffff:192.0.2.1'), { clientAddress: '192.0.2.1', secure: false });
    t.strictSame(
        ['127.0.0.1', '::ffff:10.2.3.4', '192.0.2.1', '', undefined].map((address) =>
            isTrustedProxy(trusted, address),
        ),
        [true, true, false, false, false],
    );
    t.end();
});
