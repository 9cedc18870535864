import { once } from 'node:events';
import { createServer } from 'node:https';
import { createServer as createPlainServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { isPublicAddress } from '#lib/base/egress/address-classes.js';
import { EgressGuard, systemLookup, type HostLookup } from '#lib/base/egress/egress-guard.js';
import { addressBytes, addressKey } from '#lib/base/egress/ip-address.js';
import type { EgressConfig } from '#lib/base/config-types.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import type { AddressSupplier } from '#lib/base/http-supplier.js';
import { hostRefusal } from '#lib/images/refused-host.js';
import { sendJson } from '../doubles/http-service.js';
import { echo, makeClient, serve } from '../helpers/outgoing.js';
import { selfSigned } from '../helpers/self-signed.js';

const OPEN: EgressConfig = { allowHosts: [], denyHosts: [], guardOperators: false };
const PUBLIC = '93.184.216.34';

/** A resolver of names whose answers can be changed; it counts the questions. */
class Names {
    asked = 0;
    readonly #answers: Record<string, readonly string[]>;

    constructor(answers: Record<string, readonly string[]>) {
        this.#answers = answers;
    }

    set(name: string, addresses: readonly string[]): void {
        this.#answers[name] = addresses;
    }

    readonly lookup: HostLookup = (name) => {
        this.asked += 1;
        const addresses = this.#answers[name];
        if (addresses === undefined) {
            const error = new Error(`getaddrinfo ENOTFOUND ${name}`);
            return Promise.reject(Object.assign(error, { code: 'ENOTFOUND', syscall: 'getaddrinfo' }));
        }
        return Promise.resolve(
            addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        );
    };
}

/** What the guard says of a URL: the addresses, `free` where there is nothing to check, or `refused <host>`. */
async function verdict(
    url: string,
    supplier: AddressSupplier,
    egress: Partial<EgressConfig> = {},
    answers: Record<string, readonly string[]> = {},
): Promise<string> {
    const guard = new EgressGuard({ current: { egress: { ...OPEN, ...egress } } }, new Names(answers).lookup);
    try {
        const found = await guard.check(new URL(url), supplier, new AbortController().signal);
        return found?.map(({ address }) => address).join(' ') ?? 'free';
    } catch (error) {
        if (error instanceof OutgoingError) return `${error.kind} ${error.host ?? ''}`;
        throw error;
    }
}

const INTERNAL = [
    ['0.0.0.0', '0.255.255.255', '10.0.0.0', '10.255.255.255', '100.64.0.0', '100.127.255.255'],
    ['127.0.0.0', '127.0.0.1', '127.255.255.255', '169.254.0.0', '169.254.169.254', '172.16.0.0'],
    ['172.31.255.255', '192.0.0.0', '192.0.0.170', '192.0.2.1', '192.88.99.1', '192.168.0.0'],
    ['192.168.255.255', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.200', '224.0.0.1'],
    ['239.255.255.255', '240.0.0.1', '255.255.255.255'],
    ['::', '::1', '::2', 'fc00::1', 'fd12:3456::1', 'fdff:ffff::', 'fe80::1', 'fe80::1%eth0', 'febf::1'],
    ['fec0::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.1.2.3', '::FFFF:169.254.169.254'],
    // IPv4-compatible and IPv4-translated, which are reserved altogether
    ['::127.0.0.1', '::10.0.0.1', '::8.8.8.8', '::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
    // NAT64, the prefix for local use included
    ['64:ff9b::127.0.0.1', '64:ff9b::a00:1', '64:ff9b::192.168.1.1', '64:ff9b:1::8.8.8.8'],
    // 6to4
    ['2002:7f00:1::', '2002:a00:1::1', '2002:c0a8:101::1', '2002:6440:1::'],
    // Teredo: with an internal server, with an internal client
    ['2001:0:7f00:1:0:0:f7f7:f7f7', '2001:0:808:808:0:0:80ff:fffe', '2001:0:808:808::f5ff:fffe'],
    ['2001:2::1', '2001:10::1', '2001:db8::1', '3fff::1', '100::1', '4000::1', 'e000::1', '5f00::1'],
    ['', 'x', '1.2.3', '256.1.1.1', '::g', '1::2::3', 'localhost'],
].flat();

const EXTERNAL = [
    ['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
    ['128.0.0.0', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.0.1.0', PUBLIC],
    ['192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0', '203.0.112.1', '223.255.255.255'],
    ['2000::1', '2606:4700:4700::1111', '2a00:1450:4001::200e', '2001:4860:4860::8888', '3ffe::1'],
    ['::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1', '2001:0:808:808:0:0:f7f7:f7f7'],
].flat();

void t.test('classes of addresses', async (t) => {
    for (const address of INTERNAL) t.notOk(isPublicAddress(address), address);
    for (const address of EXTERNAL) t.ok(isPublicAddress(address), address);
    t.same(addressBytes('1:2::3.4.5.6'), [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 5, 6]);
    t.same(addressBytes('[::ffff:102:304]'), addressBytes('::FFFF:1.2.3.4'));
    t.equal(addressKey(addressBytes('::ffff:1.2.3.4') ?? []), '1.2.3.4');
});

/** How an address can be written in a URL, and what host that is. */
const TRICKS: [written: string, host: string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['017700000001', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0x7f.0.0.1', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['127.0.1', '127.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['127.0.0.1.', '127.0.0.1'],
    ['%31%32%37.0.0.1', '127.0.0.1'],
    ['１２７.0.0.1', '127.0.0.1'],
    ['127。0。0。1', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['0.0.0.0', '0.0.0.0'],
    ['10.1', '10.0.0.1'],
    ['3232235777', '192.168.1.1'],
    ['0xa9fea9fe', '169.254.169.254'],
    ['user:secret@127.0.0.1', '127.0.0.1'],
    ['example.com@127.0.0.1', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[::]', '[::]'],
    ['[0:0:0:0:0:0:0:1]', '[::1]'],
    ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
    ['[::127.0.0.1]', '[::7f00:1]'],
    ['[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]'],
    ['[2002:7f00:1::]', '[2002:7f00:1::]'],
    ['[fd00::1]', '[fd00::1]'],
];

void t.test('addresses in URLs, however they are written', async (t) => {
    const service = await serve(t, echo);
    const { failure } = makeClient(t);
    for (const [written, host] of TRICKS) {
        const url = `http://${written}:${service.port}/`;
        t.match(await failure(url, { supplier: 'account' }), { kind: 'refused', host }, written);
    }
    t.equal(service.connections, 0, 'nobody was asked');
    for (const impossible of ['http://[fe80::1%25eth0]/', 'http://127.0.0.256/', 'http://0x100000000/']) {
        t.match(await failure(impossible, { supplier: 'account' }), { kind: 'malformed' }, impossible);
    }
    t.same(await systemLookup('127.0.0.1'), [{ address: '127.0.0.1', family: 4 }]);
    t.match(await failure(`http://localhost:${service.port}`, { supplier: 'account' }), {
        kind: 'refused',
        host: 'localhost',
    });
});

void t.test('who is guarded', async (t) => {
    const { get, failure, setConfig } = makeClient(t, { egress: OPEN });
    const service = await serve(t, echo);
    await get(service.url);
    await get(service.url, { supplier: 'config' });
    await get(service.url, { supplier: 'operator' });
    t.match(await failure(service.url, { supplier: 'account' }), { kind: 'refused' });
    setConfig({ egress: { ...OPEN, guardOperators: true } });
    t.match(await failure(service.url, { supplier: 'operator' }), { kind: 'refused' }, 'by a reload');
    await get(service.url);
    setConfig({ egress: { ...OPEN, denyHosts: ['127.0.0.1'] } });
    t.match(await failure(service.url, { supplier: 'operator' }), { kind: 'refused', host: '127.0.0.1' });
    await get(service.url);
    setConfig({ egress: { ...OPEN, guardOperators: true, allowHosts: [`127.0.0.1:${service.port}`] } });
    await get(service.url, { supplier: 'operator' });
    await get(service.url, { supplier: 'account' });

    const unset = makeClient(t);
    t.match(await unset.failure(service.url, { supplier: 'account' }), { kind: 'refused' });
    await unset.get(service.url, { supplier: 'operator' });
});

void t.test('lists of hosts', async (t) => {
    const names = { 'a.example': [PUBLIC], 'inner.example': ['10.0.0.5'], 'both.example': [PUBLIC, '::1'] };
    const rows: [url: string, supplier: AddressSupplier, egress: Partial<EgressConfig>, expected: string][] =
        [
            ['http://a.example/', 'account', {}, PUBLIC],
            ['http://a.example/', 'operator', {}, 'free'],
            ['http://inner.example/', 'account', {}, 'refused inner.example'],
            ['http://both.example/', 'account', {}, 'refused both.example'],
            ['http://inner.example/', 'operator', {}, 'free'],
            ['http://inner.example/', 'config', { denyHosts: ['inner.example'] }, 'free'],
            ['http://inner.example/', 'account', { allowHosts: ['inner.example'] }, 'free'],
            ['http://INNER.example./', 'account', { allowHosts: ['Inner.Example.'] }, 'free'],
            ['http://inner.example:81/', 'account', { allowHosts: ['inner.example:81'] }, 'free'],
            ['http://inner.example/', 'account', { allowHosts: ['inner.example:80'] }, 'free'],
            ['https://inner.example/', 'account', { allowHosts: ['inner.example:443'] }, 'free'],
            [
                'https://inner.example/',
                'account',
                { allowHosts: ['inner.example:80'] },
                'refused inner.example',
            ],
            [
                'http://inner.example/',
                'account',
                { allowHosts: ['example', '10.0.0.5'] },
                'refused inner.example',
            ],
            ['http://inner.example/', 'account', { allowHosts: ['', 'x y', ':80'] }, 'refused inner.example'],
            ['http://10.0.0.5/', 'account', { allowHosts: ['10.0.0.5'] }, 'free'],
            ['http://10.0.0.5/', 'account', { allowHosts: ['::ffff:10.0.0.5'] }, 'free'],
            ['http://[fd00::1]/', 'account', { allowHosts: ['fd00:0::1'] }, 'free'],
            ['http://[fd00::1]:82/', 'account', { allowHosts: ['[fd00::1]:82'] }, 'free'],
            ['http://[fd00::1]:83/', 'account', { allowHosts: ['[fd00::1]:82'] }, 'refused [fd00::1]'],
            ['http://a.example/', 'account', { denyHosts: ['a.example'] }, 'refused a.example'],
            ['http://a.example/', 'operator', { denyHosts: ['a.example'] }, 'refused a.example'],
            ['http://a.example/', 'operator', { denyHosts: ['a.example:80'] }, 'refused a.example'],
            ['http://a.example:81/', 'operator', { denyHosts: ['a.example:80'] }, PUBLIC],
            ['http://a.example/', 'operator', { denyHosts: [PUBLIC] }, 'refused a.example'],
            ['http://a.example/', 'account', { denyHosts: [`::ffff:${PUBLIC}`] }, 'refused a.example'],
            ['http://both.example/', 'operator', { denyHosts: ['::1'] }, 'refused both.example'],
            [`http://[::ffff:${PUBLIC}]/`, 'operator', { denyHosts: [PUBLIC] }, 'refused [::ffff:5db8:d822]'],
            ['http://10.0.0.5/', 'operator', { denyHosts: ['10.0.0.6'] }, '10.0.0.5'],
            [
                'http://a.example/',
                'account',
                { denyHosts: [PUBLIC], allowHosts: ['a.example'] },
                'refused a.example',
            ],
            [
                'http://inner.example/',
                'account',
                { denyHosts: ['10.9.9.9'], allowHosts: ['inner.example'] },
                '10.0.0.5',
            ],
            ['http://inner.example/', 'operator', { guardOperators: true }, 'refused inner.example'],
            ['http://a.example/', 'operator', { guardOperators: true }, PUBLIC],
        ];
    for (const [url, supplier, egress, expected] of rows) {
        const name = `${supplier} ${url} ${JSON.stringify(egress)}`;
        t.equal(await verdict(url, supplier, egress, names), expected, name);
    }
});

void t.test('answers of the name service that change', async (t) => {
    const service = await serve(t, echo);
    const names = new Names({ 'images.test': ['127.0.0.1'] });
    const egress = { ...OPEN, denyHosts: ['127.0.0.9'] };
    const { get, failure } = makeClient(t, { egress }, { lookup: names.lookup });
    const url = `http://images.test:${service.port}/`;
    await get(url, { supplier: 'operator' });
    t.equal(names.asked, 1, 'the connection leads where the guard has looked');
    t.equal(service.requests[0]?.headers.host, `images.test:${service.port}`);
    for (let more = 0; more < 3; more += 1) await get(url, { supplier: 'operator' });
    t.ok(service.connections < service.requests.length, 'connections are kept');
    names.set('images.test', ['127.0.0.1', '127.0.0.9']);
    t.match(await failure(url, { supplier: 'operator' }), { kind: 'refused', host: 'images.test' });
    t.match(await failure(url, { supplier: 'account' }), { kind: 'refused' });
    t.equal(service.requests.length, 4);
    t.match(await failure(url), { kind: 'connect' }, 'without a guard the system is asked');

    const before = names.asked;
    t.match(await failure('http://unknown.test/', { supplier: 'account' }), {
        kind: 'connect',
        message: /ENOTFOUND/,
    });
    t.equal(names.asked - before, 3, 'tried again as any connection');

    const slow = makeClient(t, {}, { lookup: () => new Promise(() => undefined) });
    const given = new AbortController();
    const waiting = slow.failure('http://slow.test/', { supplier: 'account', signal: given.signal });
    setImmediate(() => given.abort());
    t.match(await waiting, { kind: 'aborted' });
    t.match(await slow.failure('http://slow.test/', { supplier: 'account', timeouts: { connectMs: 20 } }), {
        kind: 'connect',
    });
});

void t.test('a checked name is still the one that TLS is for', async (t) => {
    const { certificate, key } = selfSigned('images.test');
    const asked: string[] = [];
    const server = createServer(
        {
            cert: certificate,
            key,
            SNICallback: (name, done) => {
                asked.push(name);
                done(null);
            },
        },
        (request, response) => sendJson(response, 200, { host: request.headers.host }),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
    const { port } = server.address() as AddressInfo;
    const names = new Names({ 'images.test': ['127.0.0.1'] });
    const egress = { ...OPEN, denyHosts: ['127.0.0.9'] };
    const { get } = makeClient(t, { egress, allowInsecure: true }, { lookup: names.lookup });
    const request = { supplier: 'operator', peer: 'image-server' } as const;
    t.same(await get(`https://images.test:${port}/`, request), { host: `images.test:${port}` });
    t.same(asked, ['images.test']);
});

void t.test('the first address that answers is used', async (t) => {
    const server = createPlainServer((_, response) => sendJson(response, 200, {})).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
    const { port } = server.address() as AddressInfo;
    const names = new Names({ 'two.test': ['127.0.0.3', '127.0.0.1'] });
    const { get } = makeClient(t, { egress: { ...OPEN, denyHosts: ['x'] } }, { lookup: names.lookup });
    await get(`http://two.test:${port}/`, { supplier: 'operator' });
    names.set('two.test', ['127.0.0.1', '127.0.0.3']);
    await get(`http://two.test:${port}/`, { supplier: 'operator' });
    t.equal(names.asked, 2);
});

void t.test('redirects', async (t) => {
    const inner = await serve(t, echo);
    const targets: Record<string, string> = {
        '/plain': inner.url,
        '/decimal': `http://2130706433:${inner.port}/`,
        '/mapped': `http://[::ffff:127.0.0.1]:${inner.port}/`,
        '/name': `http://inner.test:${inner.port}/`,
        '/relative': `//0x7f.1:${inner.port}/`,
        '/metadata': 'http://169.254.169.254/latest/meta-data/',
        '/twice': '/plain',
        '/allowed': '/end',
    };
    const outer = await serve(t, ({ path }, response) => {
        const location = targets[path];
        if (location === undefined) sendJson(response, 200, { path });
        else response.writeHead(302, { location }).end();
    });
    const names = new Names({ 'inner.test': ['127.0.0.1'] });
    const egress = { ...OPEN, allowHosts: [`127.0.0.1:${outer.port}`] };
    const { failure, get, setConfig } = makeClient(t, { egress }, { lookup: names.lookup });
    const hosts = {
        '/plain': '127.0.0.1',
        '/decimal': '127.0.0.1',
        '/mapped': '[::ffff:7f00:1]',
        '/name': 'inner.test',
        '/relative': '127.0.0.1',
        '/metadata': '169.254.169.254',
        '/twice': '127.0.0.1',
    };
    for (const [path, host] of Object.entries(hosts)) {
        const error = await failure(`${outer.url}${path}`, { supplier: 'account' });
        t.match(error, { kind: 'refused', host }, path);
        t.match(hostRefusal(error, 'file_url'), {
            code: 'InvalidParameter',
            message: `"file_url" host is not allowed: ${host}`,
            errors: [{ field: 'file_url', code: 'Invalid' }],
        });
    }
    t.equal(inner.connections, 0);
    t.same(await get(`${outer.url}/allowed`, { supplier: 'account' }), { path: '/end' });
    t.same(await get(`${outer.url}/plain`, { supplier: 'operator' }), { path: '/', query: {} });
    setConfig({ egress: { ...OPEN, denyHosts: ['inner.test'] } });
    t.match(await failure(`${outer.url}/name`, { supplier: 'operator' }), { host: 'inner.test' });
});

void t.test('redirects that must stay encrypted', async (t) => {
    const tls = selfSigned('127.0.0.1');
    const plain = await serve(t, echo);
    const encrypted = await serve(
        t,
        ({ path }, response) => {
            if (path === '/plain') response.writeHead(302, { location: plain.url }).end();
            else if (path === '/same') response.writeHead(307, { location: '/end' }).end();
            else sendJson(response, 200, { path });
        },
        { tls },
    );
    const { get, failure } = makeClient(t, { allowInsecure: true });
    const request = { peer: 'image-server', httpsOnly: true } as const;
    t.match(await failure(`${encrypted.url}/plain`, request), { kind: 'malformed', status: 302 });
    t.equal(plain.connections, 0);
    t.same(await get(`${encrypted.url}/same`, request), { path: '/end' });
    t.match(await get(`${encrypted.url}/plain`, { peer: 'image-server' }), { path: '/' });
});

void t.test('behind a proxy', async (t) => {
    const proxy = await serve(t, ({ target }, response) => sendJson(response, 200, { proxied: target }));
    const names = new Names({ 'a.test': [PUBLIC], 'inner.test': ['192.168.7.7'] });
    const { get, failure } = makeClient(t, { httpProxy: proxy.url }, { lookup: names.lookup });
    const request = { peer: 'web', supplier: 'account' } as const;
    t.same(await get('http://a.test/x', request), { proxied: 'http://a.test/x' }, 'by its name');
    t.match(await failure('http://inner.test/', request), { kind: 'refused', host: 'inner.test' });
    t.match(await failure('http://10.1/', request), { kind: 'refused', host: '10.0.0.1' });
    t.match(await failure('http://unknown.test/', request), { kind: 'connect' });
    t.equal(proxy.requests.length, 1);
    t.same(
        await get('http://inner.test/y', { ...request, supplier: 'operator' }),
        { proxied: 'http://inner.test/y' },
        'what an operator names is not looked up',
    );
});

void t.test('other failures are no refusals', async (t) => {
    const refusal = new OutgoingError('refused', 'x', { host: 'h' });
    t.match(hostRefusal(refusal, 'source'), { message: '"source" host is not allowed: h' });
    t.match(hostRefusal(new Error('x', { cause: refusal }), 'source'), { code: 'InvalidParameter' });
    t.equal(hostRefusal(new OutgoingError('connect', 'x'), 'source'), undefined);
    t.equal(hostRefusal(new Error('x', { cause: 'y' }), 'source'), undefined);
    t.equal(hostRefusal(undefined, 'source'), undefined);
});
