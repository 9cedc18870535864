// The built-in HTTPS listener, as a user sees it (operations 4.5).
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { HttpClient, rawExchange } from '../helpers/http-client.js';
import { createImage, uploadFile } from '../helpers/images.js';
import { selfSigned } from '../helpers/self-signed.js';
import { LIMIT_MS, ServerProcess, eventually, freePort, runToEnd } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

type Pair = ReturnType<typeof selfSigned>;

const FIRST = selfSigned('127.0.0.1');
const SECOND = selfSigned('127.0.0.1');

/** Certificate and key in one file, as certificate tools join them. */
function writePair(path: string, { certificate, key }: Pair): void {
    writeFileSync(path, certificate + key, { mode: 0o600 });
}

interface Place {
    readonly server: ServerProcess;
    readonly port: number;
    readonly pem: string;
    readonly secure: HttpClient;
}

async function start(t: Test, tls: Readonly<Record<string, unknown>> = {}): Promise<Place> {
    const pem = join(t.testdir(), 'cert.pem');
    writePair(pem, FIRST);
    const port = await freePort();
    const config = { authType: 'none', tls: { cert: pem, port, ...tls } };
    const server = await ServerProcess.start({ config });
    t.teardown(() => server.stop());
    const secure = HttpClient.overTls(port, FIRST.certificate);
    t.teardown(() => secure.close());
    return { server, port, pem, secure };
}

/** The certificate a server shows. */
async function shown(port: number): Promise<string> {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).once('error', reject);
    });
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw.toString('base64');
}

function bodyOf({ certificate }: Pair): string {
    return certificate.replace(/-----[^-]+-----|\s/g, '');
}

void t.test('the same server is there with and without TLS', async (t) => {
    const { server, port, secure } = await start(t);
    const plain = new HttpClient(server.port);
    const uuid = await createImage(secure);
    const file = Buffer.alloc(3_000_000, 'over TLS ');
    t.equal((await uploadFile(secure, uuid, file)).status, 200);
    t.equal((await secure.post(`/images/${uuid}?action=activate`)).status, 200);

    const [above, below] = [
        await secure.get(`/images/${uuid}/file`),
        await plain.get(`/images/${uuid}/file`),
    ];
    t.ok(above.body.equals(file) && below.body.equals(file));
    const part = await secure.get(`/images/${uuid}/file`, { headers: { range: 'bytes=5-11' } });
    t.strictSame([part.status, part.text], [206, file.subarray(5, 12).toString()]);
    plain.close();

    const listening = (scheme: string, on: number): unknown =>
        server.log.find(({ msg }) => msg === `Image API listening on <${scheme}://127.0.0.1:${on}>.`);
    t.ok(listening('http', server.port));
    t.ok(listening('https', port));
    await server.waitForLog(
        ({ audit, route, secure }) => audit === true && route === 'getimagefile' && secure === true,
    );
    await server.waitForLog(
        ({ audit, route, secure }) => audit === true && route === 'getimagefile' && secure === false,
    );
});

void t.test('a certificate that ends soon is told by /health', async (t) => {
    const { secure } = await start(t);
    t.strictSame((await secure.get('/health')).json, { status: 'degraded' });
});

void t.test('who speaks no TLS, too old TLS, or nothing, does no harm', async (t) => {
    const { port, secure, server } = await start(t, { minVersion: 'TLSv1.3' });
    await t.rejects(
        new Promise((_resolve, reject) => {
            connect({ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false }).once(
                'error',
                reject,
            );
        }),
        /alert|protocol version/,
    );
    await rawExchange(port, 'GET /ping HTTP/1.1\r\nHost: x\r\n\r\n').catch(() => '');
    const silent = connectPlain(port, '127.0.0.1');
    silent.on('error', () => undefined);
    await new Promise<void>((resolve) => silent.once('connect', resolve));
    t.equal((await secure.get('/ping')).status, 200);
    const { code } = await server.stop();
    t.equal(code, 0, 'the silent connection does not keep the server');
    silent.destroy();
});

void t.test('without a plain listener', async (t) => {
    const { server, secure } = await start(t, { only: true });
    t.equal((await secure.get('/ping')).status, 200);
    await t.rejects(new HttpClient(server.port).get('/ping'), { code: 'ECONNREFUSED' });
});

void t.test('SIGHUP reads the certificate again, and keeps the old one if it is no good', async (t) => {
    const { server, port, pem, secure } = await start(t);
    const kept: TLSSocket = connect({ port, host: '127.0.0.1', ca: FIRST.certificate });
    await new Promise<void>((resolve) => kept.once('secureConnect', resolve));
    t.equal(await shown(port), bodyOf(FIRST));

    writePair(pem, { certificate: FIRST.certificate, key: SECOND.key });
    server.signal('SIGHUP');
    await server.waitForLog(({ msg }) => msg.includes('the old one stays'));
    t.equal(await shown(port), bodyOf(FIRST));

    writePair(pem, SECOND);
    server.signal('SIGHUP');
    await eventually('the new certificate', 10_000, async () => (await shown(port)) === bodyOf(SECOND));
    // A connection from before goes on.
    const answer = new Promise<string>((resolve) =>
        kept.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    );
    kept.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n');
    t.match(await answer, /^HTTP\/1\.1 200 /);
    kept.destroy();
    await t.rejects(HttpClient.overTls(port, FIRST.certificate).get('/ping'), /self-signed|certificate/);
    secure.close();
});

void t.test('the end of the server lets transfers over TLS finish', async (t) => {
    const { server, port, secure } = await start(t);
    const uuid = await createImage(secure);
    const file = Buffer.alloc(2_000_000, 'slow ');
    const upload = secure.open('PUT', `/images/${uuid}/file?compression=none`, {
        headers: { 'content-length': String(file.length), expect: '100-continue' },
    });
    upload.request.flushHeaders();
    t.equal(await upload.continued, true);
    upload.request.write(file.subarray(0, 1_000_000));
    server.signal('SIGTERM');
    await eventually(
        'the listener is closed',
        10_000,
        () =>
            new Promise<boolean>((resolve) => {
                connectPlain(port, '127.0.0.1')
                    .once('error', () => resolve(true))
                    .once('connect', function onConnect(this: { destroy(): void }) {
                        this.destroy();
                        resolve(false);
                    });
            }),
    );
    upload.request.end(file.subarray(1_000_000));
    const { status, document } = await upload.answer;
    t.equal(status, 200);
    t.match(document, { files: [{ size: file.length }] });
    t.equal((await server.exited).code, 0);
});

void t.test('a server that cannot show a certificate does not start', async (t) => {
    const directory = t.testdir({ 'empty.pem': '', 'cert.pem': FIRST.certificate, 'key.pem': SECOND.key });
    const path = (name: string): string => join(directory, name);
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void taken.close());
    const { port: takenPort } = taken.address() as { port: number };
    writePair(path('good.pem'), FIRST);
    for (const [tls, message] of [
        [{ cert: path('none.pem') }, /config\.tls\.cert .*none\.pem: ENOENT/],
        [{ cert: path('empty.pem') }, /config\.tls\.cert .*empty\.pem: there is no certificate in it/],
        [
            { cert: path('cert.pem'), key: path('key.pem') },
            /config\.tls\.cert .*cert\.pem: .*key values mismatch/i,
        ],
        [{ cert: path('cert.pem'), key: path('nokey.pem') }, /config\.tls\.key .*nokey\.pem: ENOENT/],
        [{ cert: path('good.pem'), port: takenPort }, /EADDRINUSE/],
    ] as const) {
        const config = { port: await freePort(), authType: 'none', tls: { port: await freePort(), ...tls } };
        writeFileSync(path('imgapi.json'), JSON.stringify(config));
        const { code, stdout } = await runToEnd(['-f', path('imgapi.json')], directory);
        t.equal(code, 2);
        t.match(stdout, message);
    }
});
