// The ways to another image server: proxies, certificates, and servers of ours (jobs-and-imports 0.5, 3.1-3.3).
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { HttpService, type ServiceHandler } from '../doubles/http-service.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import type { Answer, HttpClient } from '../helpers/http-client.js';
import { gzipFile, NOBODY, PNG, sha1Hex, type Fixture } from '../helpers/images.js';
import { expectError } from '../helpers/rows.js';
import { selfSigned } from '../helpers/self-signed.js';
import { startServer } from '../helpers/start-server.js';

const UUID = 'f0000000-0000-4000-8000-000000000001';
const file = randomBytes(100_000);
const { client } = await startServer(t);

/** Imports an image with its files and activates it. */
async function copy(to: HttpClient, source: string, uuid = UUID): Promise<Answer> {
    const from = `source=${encodeURIComponent(source)}`;
    for (const step of [
        () => to.post(`/images/${uuid}?action=import&${from}`),
        () => to.put(`/images/${uuid}/file?${from}`, ''),
    ]) {
        const answer = await step();
        if (answer.status !== 200) return answer;
    }
    return to.post(`/images/${uuid}?action=activate`);
}

async function startDouble(tls?: ReturnType<typeof selfSigned>): Promise<ImageServerDouble> {
    const double = await new ImageServerDouble(tls === undefined ? {} : { tls }).start();
    t.teardown(() => double.stop());
    return double;
}

/** A proxy that fetches what it is asked for, and makes tunnels. */
async function startProxy(): Promise<HttpService> {
    const fetchIt: ServiceHandler = ({ target, headers }, response) => {
        const passedOn = Object.entries(headers).filter(([name]) => name !== 'proxy-authorization');
        httpRequest(target, { headers: Object.fromEntries(passedOn) }, (answer) => {
            response.writeHead(answer.statusCode ?? 502, answer.headers);
            answer.pipe(response);
        }).end();
    };
    const proxy = new HttpService(fetchIt, {
        onConnect: (target, socket) => {
            const [host = '', port = ''] = target.split(':');
            const upstream = connect(Number(port), host, () => {
                socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
                upstream.pipe(socket).pipe(upstream);
            });
            upstream.on('error', () => socket.destroy());
            socket.on('error', () => upstream.destroy());
        },
    });
    await proxy.start();
    t.teardown(() => proxy.stop());
    return proxy;
}

await t.test('by way of a proxy', async (test) => {
    const [plain, encrypted, proxy] = [
        await startDouble(),
        await startDouble(selfSigned('127.0.0.1')),
        await startProxy(),
    ];
    const httpProxy = proxy.url.replace('//', '//user:secret@');
    const proxied = await startServer(test, { httpProxy, allowInsecure: true });
    plain.add({ uuid: UUID, public: false }, [file]);
    const copied = await copy(proxied.client, plain.address);
    test.match(copied.document, { state: 'active', files: [{ sha1: sha1Hex(file) }] }, copied.text);
    test.same(
        proxy.requests.map(({ method, target }) => [method, target]),
        [
            ['GET', `${plain.address}/images/${UUID}`],
            ['GET', `${plain.address}/images/${UUID}`],
            ['GET', `${plain.address}/images/${UUID}/file`],
        ],
        'every request goes through the proxy',
    );
    test.equal(plain.requests[0]?.headers['proxy-authorization'], undefined);

    const other = UUID.replace(/1$/, '2');
    encrypted.add({ uuid: other, public: false }, [file]);
    const tunnelled = await copy(proxied.client, encrypted.address, other);
    test.match(tunnelled.document, { state: 'active' }, tunnelled.text);
    test.match(proxy.requests.at(-1), { method: 'CONNECT', target: `127.0.0.1:${encrypted.port}` });
    test.notMatch(JSON.stringify(proxied.server.log), 'secret', 'the log has no user info');
});

await t.test('certificates that nobody knows', async (test) => {
    const source = await startDouble(selfSigned('127.0.0.1'));
    source.add({ uuid: UUID, public: false }, [file]);
    const refused = {
        status: 503,
        code: 'RemoteSourceError',
        message: `Unable to get manifest for image ${UUID}. Error from remote: self-signed certificate`,
    };
    expectError(test, await copy(client, source.address), refused, 'are refused');
    test.same(source.requests, [], 'before anything is asked');
});

await t.test('from one of our servers to another', async (test) => {
    const bytes = gzipFile('a file');
    const origin: Fixture = {
        uuid: UUID,
        name: 'origin',
        activated: true,
        published_at: '2015-01-01T00:00:00.000Z',
        file: bytes,
        icon: PNG,
        more: { channels: ['dev'], acl: [], description: 'what it is', x_imgapi: { import_id: 'left' } },
    };
    const channels = [
        { name: 'release', description: 'for all', default: true },
        { name: 'dev', description: 'for us' },
    ];
    const first = await startServer(test, { channels }, [origin]);
    const missing = await copy(client, first.server.url);
    test.match(
        missing.error,
        { code: 'RemoteSourceError', message: /image not found$/ },
        'not in its default channel',
    );
    const copied = await copy(client, `${first.server.url}/?channel=dev`);
    test.match(copied.document, {
        uuid: UUID,
        owner: NOBODY,
        state: 'active',
        description: 'what it is',
        published_at: '2015-01-01T00:00:00.000Z',
        files: [{ sha1: sha1Hex(bytes) }],
    });
    test.notOk('icon' in copied.document);
    test.ok((await client.get(`/images/${UUID}/file`)).body.equals(bytes));
    const shown = await client.get(`/images/${UUID}?inclProvenance=true`);
    test.match(shown.document, {
        provenance: { kind: 'import', source_image: UUID, source_url: first.server.url },
    });
});
