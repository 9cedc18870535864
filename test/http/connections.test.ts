import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { answers, CLOSE, code, fake, Gate, ROUTES, UUID } from '../helpers/shell-routes.js';
import { eventually, startShell } from '../helpers/shell-server.js';

await t.test('Expect: 100-continue', async (t) => {
    const { client, port } = await startShell(t, ROUTES);
    const headers = { expect: '100-continue', 'content-length': '5' };
    const upload = client.open('PUT', `/images/${UUID}/file`, { headers });
    upload.request.flushHeaders();
    t.equal(await upload.continued, true);
    upload.request.end('hello');
    t.strictSame((await upload.answer).json, { size: 5 });

    const body = client.open('POST', '/images', {
        headers: { ...headers, 'content-type': 'application/json' },
    });
    body.request.flushHeaders();
    t.equal(await body.continued, true, 'also where the body is read as a whole');
    body.request.end('[1,2]');
    t.same((await body.answer).document['value'], [1, 2]);

    const text = await rawExchange(
        port,
        `PUT /images/${UUID}/icon HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n`,
    );
    t.equal(answers(text).length, 1, 'no interim answer');
    t.match(text, /^HTTP\/1.1 401 /);
    t.match(text, /\r\nConnection: close\r\n/);

    const odd = await rawExchange(port, `GET /ping HTTP/1.1\r\nExpect: magic\r\n${CLOSE}`);
    t.match(odd, /^HTTP\/1.1 417 /);
    t.equal(code(answers(odd)[0]?.body ?? ''), 'ExpectationFailedError');
    t.match(odd, /\r\nx-request-id: /);
});

await t.test('early errors', async (t) => {
    const { client, port, server } = await startShell(t, ROUTES, { lingerSilenceMs: 200 });
    const small = await client.put(`/images/${UUID}/icon`, Buffer.alloc(100_000));
    t.equal(small.status, 401);
    t.equal(small.header('connection'), 'keep-alive', 'little is passed over and the connection kept');
    t.equal((await client.get('/ping')).status, 200);

    // A client that sends all it has before it looks at the answer.
    const chunked = `PUT /images/${UUID}/icon HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const chunk = `c800\r\n${'x'.repeat(51_200)}\r\n`;
    const all = await rawExchange(port, `${chunked}${chunk.repeat(15)}0\r\n\r\n`);
    t.match(all, /^HTTP\/1.1 401 /);
    t.match(all, /\r\nConnection: close\r\n/);

    // One that never ends: answered at once, cut after a bounded time.
    const silent = await rawExchange(port, `${chunked}${chunk}`);
    t.match(silent, /^HTTP\/1.1 401 /, 'bounded in time');

    await eventually(() => server.inFlight().length === 0);
});

await t.test('an upload refused on the way', async (t) => {
    const { client, server } = await startShell(t, ROUTES, { lingerMs: 300 });
    const answer = await client.put(`/images/${UUID}/file`, Buffer.alloc(5_500_000));
    t.strictSame([answer.status, answer.error.code], [400, 'Upload'], 'the client gets to read why');
    t.equal(answer.header('connection'), 'close');
    t.strictSame((await client.put(`/images/${UUID}/file`, Buffer.alloc(3_000_000))).json, {
        size: 3_000_000,
    });

    const open = client.open('PUT', `/images/${UUID}/file`, { headers: { 'content-length': '1000' } });
    fake.started = undefined;
    open.request.write('abc');
    const stream = await eventually(() => fake.started);
    const uploading = server.inFlight();
    t.match(uploading, [{ route: 'AddImageFile', modifying: true, uuid: UUID }]);
    open.request.on('error', () => undefined).destroy();
    await eventually(() => server.inFlight().length === 0);
    t.ok(stream.destroyed, 'a client that goes away ends the stream');
    t.equal((stream.errored as NodeJS.ErrnoException).code, 'ECONNRESET');
});

await t.test('what is no HTTP', async (t) => {
    const { port, client } = await startShell(t, ROUTES);
    const cases: readonly (readonly [string, number, string])[] = [
        ['nonsense\r\n\r\n', 400, 'BadRequestError'],
        ['GET /ping HTTP/1.1\r\nbad header\r\n\r\n', 400, 'BadRequestError'],
        ['GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'BadRequestError'],
        [`GET /ping HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'RequestHeaderFieldsTooLargeError'],
        [
            'POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
            400,
            'BadRequestError',
        ],
        [
            'POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
            400,
            'BadRequestError',
        ],
        [
            'POST /images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
            400,
            'BadRequestError',
        ],
        ['CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n', 405, 'MethodNotAllowedError'],
        ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'BadRequestError'],
    ];
    for (const [bytes, status, errorCode] of cases) {
        const text = await rawExchange(port, bytes);
        const [answer] = answers(text);
        const label = bytes.slice(0, 60);
        t.equal(answer?.status, status, label);
        t.equal(code(answer?.body ?? '{}'), errorCode, label);
        for (const name of [
            'Date',
            'Server',
            'x-request-id',
            'x-response-time',
            'x-server-name',
            'Connection',
        ]) {
            t.match(answer?.head, new RegExp(`\r\n${name}: `, 'i'), `${name}: ${label}`);
        }
        t.match(answer?.head, /\r\nContent-Type: application\/json(\r\n|$)/);
    }
    const upgrade = await rawExchange(
        port,
        'GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n',
    );
    t.match(upgrade, /^HTTP\/1.1 200 /, 'an offer to upgrade is not taken');
    t.match(
        await rawExchange(port, 'GET /ping HTTP/1.0\r\n\r\n'),
        /^HTTP\/1.1 200 /,
        'HTTP/1.0 needs no Host',
    );
    t.equal((await client.get('/ping')).status, 200, 'the server is well');
});

await t.test('pipelining', async (t) => {
    const { port, server, audits } = await startShell(t, ROUTES, { pipelined: 4 });
    fake.gate = new Gate();
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const reply = rawExchange(
        port,
        get('/gate/a') + get('/gate/b') + get('/nope') + `GET /ping HTTP/1.1\r\n${CLOSE}`,
    );
    await eventually(() => fake.gate.reached.length === 1);
    t.strictSame(fake.gate.reached, ['a'], 'one at a time');
    fake.gate.open();
    const all = answers(await reply);
    t.strictSame(
        all.map(({ status }) => status),
        [200, 200, 404, 200],
    );
    t.strictSame(fake.gate.reached, ['a', 'b']);

    // Garbage behind a good request does not spoil its answer.
    const mixed = answers(await rawExchange(port, `${get('/ping')}${get('/images')}%%%\r\n\r\n`));
    t.strictSame(
        mixed.map(({ status }) => status),
        [200, 200],
    );

    // A request behind an answer with `Connection: close` is not carried out.
    const behind = `GET /gate/last HTTP/1.1\r\n${CLOSE}${get('/gate/never')}`;
    t.equal(answers(await rawExchange(port, behind)).length, 1);
    t.notOk(fake.gate.reached.includes('never'));

    fake.gate = new Gate();
    const flood = await rawExchange(port, get('/gate/x').repeat(6)).catch((error: unknown) => error);
    t.ok(flood instanceof Error || flood === '', 'too many waiting requests cut the connection');
    fake.gate.open();
    await eventually(() => server.inFlight().length === 0);
    t.ok(audits().length > 0);
});

await t.test('limits in time', async (t) => {
    const slow = await startShell(t, ROUTES, { headersMs: 100, headersCheckMs: 50 });
    const late = await rawExchange(slow.port, 'GET /ping HTTP/1.1\r\nHost:');
    t.match(late, /^HTTP\/1.1 408 /, 'slow headers');
    t.equal(code(answers(late)[0]?.body ?? '{}'), 'RequestTimeoutError');

    const idle = await startShell(t, ROUTES, { keepAliveMs: 100 });
    const kept = await rawExchange(idle.port, 'GET /ping HTTP/1.1\r\nHost: x\r\n\r\n');
    t.match(kept, /keep-alive/, 'an idle connection is closed in the end');

    const still = await startShell(t, ROUTES, { inactivityMs: 100 });
    const begun = `PUT /images/${UUID}/file HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab`;
    t.equal(await rawExchange(still.port, begun), '', 'a silent upload is cut');
    fake.gate = new Gate();
    const waiting = rawExchange(still.port, `GET /gate/long HTTP/1.1\r\n${CLOSE}`);
    await eventually(() => fake.gate.reached.length === 1);
    t.equal(await rawExchange(still.port, begun), '', 'as long as this takes');
    t.equal(await rawExchange(still.port, begun), '', 'twice');
    fake.gate.open();
    t.match(await waiting, /^HTTP\/1.1 200 /, 'nobody is cut who waits for us');
});

function opened(port: number): Promise<Socket> {
    return new Promise((resolve) => {
        const socket: Socket = connect(port, '127.0.0.1', () => resolve(socket));
        socket.on('error', () => undefined).resume();
    });
}

await t.test('stopping', async (t) => {
    const shell = await startShell(t, ROUTES);
    const { server, port } = shell;
    const [fresh, partial, other] = [await opened(port), await opened(port), await opened(port)];
    partial.write('GET /ping HTT');
    await t.rejects(server.listen(port, '127.0.0.1'), 'already listening');
    const second = await startShell(t, ROUTES);
    await second.server.close();
    await t.rejects(second.server.listen(port, '127.0.0.1'), { code: 'EADDRINUSE' });

    fake.gate = new Gate();
    const waiting = shell.client.get('/gate/a');
    const aborting = shell.client.get('/until-abort');
    await eventually(() => fake.gate.reached.length === 2);
    shell.drain = true;
    server.stopAccepting();
    server.closeIdleConnections();
    await Promise.all([once(fresh, 'close'), once(other, 'close')]);
    t.pass('connections without a request are closed');
    t.equal(server.inFlight().length, 2);
    t.match(server.inFlight()[0], { req_id: String, since: /^\d{4}-/, bytes: 0, route: 'Gate' });

    fake.gate.open();
    const last = await waiting;
    t.strictSame([last.status, last.header('connection')], [200, 'close'], 'a running request finishes');
    const closed = server.close();
    await once(partial, 'close');
    server.abortAll();
    const cut = await aborting;
    t.equal(cut.status, 503, 'an aborted one says why');
    t.strictSame(cut.json, { code: 'ServiceUnavailableError', message: 'server is shutting down' });
    t.match(fake.reasons.at(-1), { code: 'ServiceUnavailableError' });
    await closed;
    t.equal(server.inFlight().length, 0);
    await t.rejects(shell.client.get('/ping'), 'nobody listens');
});

await t.test('a client that goes away aborts the request', async (t) => {
    const { port, server } = await startShell(t, ROUTES);
    fake.gate = new Gate();
    const socket = await opened(port);
    socket.write('GET /until-abort HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => fake.gate.reached.length === 1);
    socket.destroy();
    await eventually(() => server.inFlight().length === 0);
    t.match(String(fake.reasons.at(-1)), /client closed/);
});
