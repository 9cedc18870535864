// Requests whose body nobody wants: the client gets to read why, however much it sends (http-api 3.8, D13).
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { FrontServer, listens, peakMemory, writePair } from '../helpers/front-server.js';
import { createImage, publishImage, UNKNOWN } from '../helpers/images.js';
import { missingPrograms } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import {
    answerOn,
    blindClient,
    curlClient,
    headOf,
    nodeClient,
    openSocket,
    sendForEver,
    undiciClient,
    type StubbornClient,
    type Target,
} from '../helpers/stubborn-clients.js';

t.setTimeout(LIMIT_MS);

const MB = 1_000_000;
const PAIR = selfSigned('localhost');
const DIRECTORY = t.testdir({});
const PEM = join(DIRECTORY, 'cert.pem');
writePair(PEM, PAIR);

const CLIENTS: Readonly<Record<string, StubbornClient>> = {
    node: nodeClient,
    undici: undiciClient,
    curl: curlClient(DIRECTORY),
    blind: blindClient,
};

async function start(t: Test, config: object = {}, baseDir?: string): Promise<ServerProcess> {
    const server = await ServerProcess.start({
        config: { authType: 'none', ...config },
        ...(baseDir === undefined ? {} : { baseDir }),
    });
    t.teardown(() => server.stop());
    return server;
}

const tlsPort = await freePort();
const server = await start(t, { tls: { cert: PEM, port: tlsPort } });
const client = new HttpClient(server.port);
t.teardown(() => client.close());
const { port } = server;
const NO_IMAGE: Target = { port, method: 'PUT', path: `/images/${UNKNOWN}/file?compression=none` };

const LONG_HEADER = { 'x-long': 'x'.repeat(20_000) };

/** Every kind of client, one after the other, gets the answer that it is to get. */
async function everyClient(
    t: Test,
    target: Target,
    wanted: readonly [number, string],
    bytes: number,
): Promise<void> {
    for (const [name, send] of Object.entries(CLIENTS)) {
        const { status, body, headers } = await send(target, bytes);
        const { code } = JSON.parse(body) as { readonly code: string };
        t.strictSame([status, code, headers['connection']], [...wanted, 'close'], name);
    }
}

await t.test('whatever the reason', async (t) => {
    const fresh = await createImage(client);
    const active = await publishImage(client);
    const file = `/images/${fresh}/file`;
    const put = { port, method: 'PUT' } as const;
    const none = 'compression=none';
    for (const [target, ...wanted] of [
        [NO_IMAGE, 404, 'ResourceNotFound'],
        [{ ...put, path: '/ping' }, 405, 'MethodNotAllowedError'],
        [{ ...put, path: `${file}?compression=zip` }, 422, 'InvalidParameter'],
        [{ ...put, path: `/images/${active}/file?${none}` }, 422, 'ImageFilesImmutable'],
        [{ port, method: 'POST', path: '/images' }, 413, 'PayloadTooLargeError'],
        [{ ...put, path: file, headers: LONG_HEADER }, 431, 'RequestHeaderFieldsTooLargeError'],
    ] as const) {
        await t.test(`${wanted[0]} ${target.path}`, (t) => everyClient(t, target, wanted, 20 * MB));
    }
    await t.test('little enough to keep the connection, which the client does not want', async (t) => {
        const { status, headers } = await blindClient(NO_IMAGE, 0.9 * MB);
        t.strictSame([status, headers['connection']], [404, 'close']);
    });
    await t.test('200 MB', (t) => everyClient(t, NO_IMAGE, [404, 'ResourceNotFound'], 200 * MB));
});

await t.test('over TLS', async (t) => {
    const secure = { ...NO_IMAGE, port: tlsPort, ca: PAIR.certificate };
    await everyClient(t, secure, [404, 'ResourceNotFound'], 20 * MB);
    const malformed = { ...secure, headers: LONG_HEADER };
    await everyClient(t, malformed, [431, 'RequestHeaderFieldsTooLargeError'], 20 * MB);
    const old = await blindClient({ ...secure, maxVersion: 'TLSv1.2' }, 200 * MB);
    t.equal(old.status, 404, 'TLS 1.2');
    t.equal((await blindClient(secure, 200 * MB)).status, 404, 'TLS 1.3');
});

await t.test('who is not known, behind a front server', async (t) => {
    const key = createKey('operator');
    const config = { authType: 'signature', authKeys: { operator: [key.publicLine] }, proxyProtocol: true };
    const { port } = await start(t, config);
    const preface = 'PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n';
    const { status, body } = await blindClient({ ...NO_IMAGE, port, preface }, 200 * MB);
    t.strictSame([status, JSON.parse(body)], [401, { code: 'UnauthorizedError', message: 'Unauthorized' }]);
    const malformed = await blindClient({ ...NO_IMAGE, port, preface, headers: LONG_HEADER }, 20 * MB);
    t.equal(malformed.status, 431);
});

await t.test('a server that does not write', async (t) => {
    const reader = await start(t, {}, server.baseDir);
    await everyClient(t, { ...NO_IMAGE, port: reader.port }, [503, 'ServiceUnavailableError'], 20 * MB);
});

/** A request whose body never ends. */
function sendEndlessly(socket: Socket, target: Target): void {
    socket.write(headOf(target, { 'Content-Length': String(100_000 * MB) }));
    sendForEver(socket);
}

await t.test('fifty who go on and on', async (t) => {
    await client.get('/ping');
    const before = peakMemory(server.pid);
    const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(NO_IMAGE)));
    sockets.forEach((socket) => sendEndlessly(socket, NO_IMAGE));
    const slowest = { ms: 0 };
    const sent = (): number => Math.min(...sockets.map(({ bytesWritten }) => bytesWritten));
    await eventually('all have sent a lot', 20_000, async () => {
        const begun = performance.now();
        t.equal((await client.get('/ping')).status, 200);
        slowest.ms = Math.max(slowest.ms, performance.now() - begun);
        return sent() > 20 * MB;
    });
    t.ok(slowest.ms < 1000, `others are served meanwhile: ${slowest.ms} ms`);
    const grown = peakMemory(server.pid) - before;
    t.ok(grown < 100 * MB, `what is thrown away is not kept: ${grown / MB} MB`);
    for (const socket of sockets) {
        const { status } = await answerOn(socket);
        t.equal(status, 404);
    }
    t.match((await client.get('/state')).document, { inFlight: [] }, 'they are no requests any more');
});

await t.test('the end of a server', async (t) => {
    const ending = await start(t);
    const own = new HttpClient(ending.port);
    t.teardown(() => own.close());
    const target = { ...NO_IMAGE, port: ending.port };
    const uuid = await createImage(own);
    const upload = own.open('PUT', `/images/${uuid}/file?compression=none`, {
        headers: { 'content-length': '10', expect: '100-continue' },
    });
    upload.request.flushHeaders();
    await upload.continued;
    const [late, goingOn] = [await openSocket(target), await openSocket(target)];
    sendEndlessly(goingOn, target);
    // The part of a request that has come keeps the connection from being closed as idle.
    const ping = { ...target, method: 'GET', path: '/ping' };
    late.write(headOf(ping, {}));
    await once(late.resume(), 'data');
    late.pause();
    const head = headOf(ping, { 'Content-Length': String(200 * MB) });
    late.write(head.slice(0, 10));
    ending.signal('SIGTERM');
    await eventually('the listener is closed', 10_000, async () => !(await listens(ending.port)));
    late.write(head.slice(10));
    for (let number = 0; number < 200; number += 1) {
        if (!late.write(Buffer.alloc(MB))) await once(late, 'drain');
    }
    const refused = await answerOn(late);
    t.match([refused.status, refused.body], [503, /shutting down/], 'who sends 200 MB reads why');
    upload.request.end(Buffer.alloc(10));
    t.equal((await upload.answer).status, 200);
    const begun = Date.now();
    t.equal((await ending.exited).code, 0);
    t.ok(Date.now() - begun < 8000, 'who never stops does not keep the server');
    goingOn.destroy();
});

await t.test('through HAProxy', { skip: missingPrograms('haproxy') }, async (t) => {
    const [httpsPort, statsPort] = [await freePort(), await freePort()];
    const settings = { pem: PEM, httpsPort, proxyPort: null, statsPort, serverPorts: [port] };
    const front = await FrontServer.haproxy(settings);
    t.teardown(() => front.stop());
    const target = { ...NO_IMAGE, port: httpsPort, ca: PAIR.certificate };
    for (const [name, send] of Object.entries(CLIENTS)) {
        const { status, body } = await send(target, 20 * MB);
        t.strictSame(
            [status, (JSON.parse(body) as { readonly code: string }).code],
            [404, 'ResourceNotFound'],
            name,
        );
    }
});
