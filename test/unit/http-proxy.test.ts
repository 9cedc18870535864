import { connect } from 'node:net';
import t from 'tap';
import { bypassesProxy } from '#lib/base/http-no-proxy.js';
import { sendJson } from '../doubles/http-service.js';
import { echo, makeClient, serve } from '../helpers/outgoing.js';
import { selfSigned } from '../helpers/self-signed.js';

void t.test('TLS', async (t) => {
    const tls = selfSigned('127.0.0.1');
    const service = await serve(t, echo, { tls });
    const { get, failure, setConfig } = makeClient(t);
    t.match(await failure(service.url, { peer: 'image-server' }), {
        kind: 'connect',
        message: /certificate/,
    });
    setConfig({ allowInsecure: true });
    t.match(await get(service.url, { peer: 'image-server' }), { path: '/' });
    t.match(await failure(service.url, { peer: 'registry' }), { kind: 'connect' }, 'not for registries');
    t.match(await failure(service.url, { peer: 'web' }), { kind: 'connect' });
    t.match(await failure(service.url), { kind: 'connect' });
    setConfig({ allowInsecure: false, dockerRegistryInsecure: true });
    t.match(await get(service.url, { peer: 'registry' }), { path: '/' });
    t.match(await failure(service.url, { peer: 'image-server' }), { kind: 'connect' });
});

void t.test('a proxy', async (t) => {
    const tls = selfSigned('127.0.0.1');
    const plain = await serve(t, echo);
    const encrypted = await serve(t, echo, { tls });
    let refuses = false;
    const proxy = await serve(
        t,
        (request, response) => sendJson(response, 200, { proxied: request.target }),
        {
            onConnect: (target, socket) => {
                if (refuses) {
                    socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
                    return;
                }
                const [host = '', port = ''] = target.split(':');
                const upstream = connect(Number(port), host, () => {
                    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
                    upstream.pipe(socket).pipe(upstream);
                });
                upstream.on('error', () => socket.destroy());
                socket.on('error', () => upstream.destroy());
            },
        },
    );
    const httpProxy = proxy.url.replace('//', '//user:pass%20word@');
    const { get, failure, setConfig } = makeClient(t, { httpProxy, allowInsecure: true });
    const authorization = `Basic ${Buffer.from('user:pass word').toString('base64')}`;

    t.same(await get(`${plain.url}/a?b=c`, { peer: 'image-server' }), { proxied: `${plain.url}/a?b=c` });
    t.equal(proxy.requests[0]?.headers['proxy-authorization'], authorization);
    t.equal(proxy.requests[0]?.headers.host, `127.0.0.1:${plain.port}`);
    t.match(await get(`${encrypted.url}/a`, { peer: 'image-server' }), { path: '/a' }, 'in a tunnel');
    t.match(proxy.requests[1], { method: 'CONNECT', target: `127.0.0.1:${encrypted.port}` });
    t.equal(proxy.requests[1]?.headers['proxy-authorization'], authorization);
    t.match(await get(`${plain.url}/vms`), { path: '/vms' }, 'services are asked directly');

    const excluding = makeClient(t, { httpProxy }, { noProxy: 'example.com, 127.0.0.0/8' });
    t.match(await excluding.get(plain.url, { peer: 'web' }), { path: '/' }, 'NO_PROXY');
    setConfig({ httpProxy: '' });
    t.match(await get(plain.url, { peer: 'web' }), { path: '/' }, 'taken away by a reload');
    for (const odd of ['proxy', 'ftp://proxy/', 5 as unknown as string]) {
        setConfig({ httpProxy: odd });
        t.match(await failure(plain.url, { peer: 'web' }), { kind: 'connect' }, `proxy ${odd}`);
    }
    setConfig({ httpProxy });
    refuses = true;
    for (const socket of encrypted.sockets) socket.destroy();
    t.match(await failure(encrypted.url, { peer: 'image-server' }), { kind: 'connect' }, 'no tunnel');
    await proxy.stop();
    t.match(await failure(plain.url, { peer: 'image-server' }), { kind: 'connect' }, 'no proxy');
});

void t.test('NO_PROXY', async (t) => {
    const rows: [noProxy: string, url: string, expected: boolean][] = [
        ['', 'http://a.example.com', false],
        ['*', 'http://a.example.com', true],
        ['example.com', 'http://example.com', true],
        ['example.com', 'http://a.example.com', true],
        ['.example.com', 'http://a.example.com', true],
        ['*.example.com', 'http://A.example.com', true],
        ['Example.com', 'http://a.example.com', true],
        ['example.com', 'http://badexample.com', false],
        ['a.example.com', 'http://example.com', false],
        ['other, example.com:8080', 'http://example.com:8080', true],
        ['example.com:8080', 'http://example.com', false],
        ['example.com:80', 'http://example.com', true],
        ['example.com:443', 'https://example.com', true],
        ['10.0.0.1 10.0.0.2', 'http://10.0.0.2', true],
        ['10.0.0.0/8', 'http://10.1.2.3', true],
        ['10.0.0.0/8', 'http://11.1.2.3', false],
        ['10.0.0.0/8', 'http://ten.example.com', false],
        ['10.0.0.0/64', 'http://10.1.2.3', false],
        ['x/8', 'http://10.1.2.3', false],
        ['::1', 'http://[::1]:8080', true],
        ['[::1]:8080', 'http://[::1]:8080', true],
        ['[::1]:8081', 'http://[::1]:8080', false],
        ['fd00::/8', 'http://[fd12::1]', true],
        [',.,', 'http://example.com', false],
    ];
    for (const [noProxy, url, expected] of rows) {
        t.equal(bypassesProxy(new URL(url), noProxy), expected, `${noProxy} ${url}`);
    }
});
