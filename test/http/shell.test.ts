import { ApiError, invalidParameter } from '#lib/base/errors.js';
import type { Route } from '#lib/http/route.js';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { aborted, eventually, HOST_NAME, row, startShell } from '../helpers/shell-server.js';

const UUID = '5b3fc9cd-1b2c-4a2f-8b0c-0123456789ab';

/** Requests on `/gate` wait here until the test lets them go. */
class Gate {
    readonly reached: string[] = [];
    #open: () => void = () => undefined;
    #opened = new Promise<void>((resolve) => (this.#open = resolve));

    async wait(name: string): Promise<void> {
        this.reached.push(name);
        await this.#opened;
    }

    open(): void {
        this.#open();
    }
}

let channels = true;
let gate = new Gate();
let started: Readable | undefined;
const reasons: unknown[] = [];
const bigParts = Array.from({ length: 2000 }, (_, i) => Buffer.alloc(10_000, 97 + (i % 26)));

const ROUTES: readonly Route[] = [
    row('GET', '/images', 'ListImages', () => ({ kind: 'json', value: [] }), { aliases: ['/images/'] }),
    row('POST', '/images', 'CreateImage', async (x) => ({ kind: 'json', value: await x.readBody() })),
    row('GET', '/images/:uuid', 'GetImage', (x) => ({
        kind: 'json',
        value: { params: x.params, version2: x.version2, method: x.method, target: x.target, path: x.path },
        headers: { Etag: 'abc' },
    })),
    row('POST', '/images/:uuid', 'UpdateImage', () => {
        throw invalidParameter('no', [{ field: 'a', code: 'Invalid' }]);
    }),
    row('DELETE', '/images/:uuid', 'DeleteImage', () => ({ kind: 'empty', status: 204 })),
    row('PUT', '/images/:uuid/file', 'AddImageFile', async (x) => {
        let size = 0;
        started = x.startUpload();
        for await (const chunk of started) {
            size += (chunk as Buffer).length;
            if (size > 5_000_000) throw new ApiError('Upload', 'too big');
        }
        return { kind: 'json', value: { size } };
    }),
    row('GET', '/images/:uuid/file', 'GetImageFile', () => ({ kind: 'text', parts: bigParts })),
    row('PUT', '/images/:uuid/icon', 'AddImageIcon', () => {
        throw new ApiError('UnauthorizedError', 'Unauthorized', {
            headers: { 'WWW-Authenticate': 'Signature realm="imgapi"' },
        });
    }),
    row('GET', '/channels', 'ListChannels', () => ({ kind: 'json', value: ['c'] }), {
        mounted: () => channels,
    }),
    row('GET', '/ping', 'Ping', () => ({ kind: 'json', value: { ping: 'pong' } })),
    row('GET', '/any', 'Any', (x) => ({ kind: 'json', value: x.version2 }), { anyVersion: true }),
    row('GET', '/docs/*', 'Docs', (x) => ({ kind: 'json', value: x.params['rest'] })),
    row('GET', '/', 'Root', () => ({ kind: 'empty', status: 301, headers: { Location: '/docs/' } })),
    row('GET', '/boom', 'Boom', () => {
        throw new TypeError('ENOENT: /secret/path');
    }),
    row('GET', '/nothing', 'Nothing', () => undefined as never),
    row('GET', '/bad-header', 'BadHeader', () => ({
        kind: 'empty',
        status: 200,
        headers: { Location: 'a\nb' },
    })),
    row('POST', '/state', 'State', () => ({ kind: 'empty', status: 202 })),
    row('GET', '/gate/:name', 'Gate', async (x) => {
        await gate.wait(x.params['name'] ?? '');
        return { kind: 'json', value: x.params['name'] };
    }),
    row('GET', '/until-abort', 'UntilAbort', async (x) => {
        gate.reached.push('until-abort');
        reasons.push(await aborted(x.signal));
        throw new Error('stopped');
    }),
];

/** Heads and bodies of all answers in a text. */
function answers(text: string): { status: number; head: string; body: string }[] {
    const found = [];
    let rest = text;
    while (rest !== '') {
        const end = rest.indexOf('\r\n\r\n');
        const head = rest.slice(0, end);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        found.push({ status: Number(head.slice(9, 12)), head, body: rest.slice(end + 4, end + 4 + length) });
        rest = rest.slice(end + 4 + length);
    }
    return found;
}

function code(body: string): unknown {
    return (JSON.parse(body) as { code: unknown }).code;
}

const CLOSE = 'Host: x\r\nConnection: close\r\n\r\n';

await t.test('routing', async (t) => {
    const { client, port } = await startShell(t, ROUTES);

    const table: readonly (readonly [string, string, number, string | null, string | null])[] = [
        ['GET', '/nope', 404, 'ResourceNotFound', '/nope does not exist'],
        ['GET', '/nope?a=%zz', 404, 'ResourceNotFound', '/nope does not exist'],
        ['GET', '/Images', 404, 'ResourceNotFound', '/Images does not exist'],
        ['GET', '/%70ing', 404, 'ResourceNotFound', '/%70ing does not exist'],
        ['GET', '/ping/', 404, 'ResourceNotFound', '/ping/ does not exist'],
        ['GET', `/images/${UUID}/`, 404, 'ResourceNotFound', `/images/${UUID}/ does not exist`],
        ['GET', '/images/%zz', 400, 'BadRequestError', 'URI malformed'],
        ['PATCH', '/images/%zz', 400, 'BadRequestError', 'URI malformed'],
        ['GET', '/docs/a/%E0%A4%A', 400, 'BadRequestError', 'URI malformed'],
        ['PATCH', '/images', 405, 'MethodNotAllowedError', 'PATCH is not allowed'],
        ['OPTIONS', '/images', 405, 'MethodNotAllowedError', 'OPTIONS is not allowed'],
        ['OPTIONS', '/nope', 404, 'ResourceNotFound', '/nope does not exist'],
        ['HEAD', '/state', 405, null, null],
        ['GET', '/images', 200, null, null],
        ['GET', '/images/', 200, null, null],
        ['GET', '//images', 200, null, null],
        ['GET', '///images//', 200, null, null],
        ['GET', '//ping', 200, null, null],
        ['GET', '/', 301, null, null],
        ['HEAD', '/ping', 200, null, null],
        ['OPTIONS', '*', 200, null, null],
    ];
    for (const [method, path, status, errorCode, message] of table) {
        const answer = await client.request(method, path);
        t.equal(answer.status, status, `${method} ${path}`);
        if (errorCode !== null) t.strictSame(answer.json, { code: errorCode, message }, `${method} ${path}`);
    }
    t.equal((await client.request('PATCH', '/images')).header('allow'), 'GET, HEAD, POST');
    t.equal(
        (await client.request('PATCH', `/images/${UUID}/file`)).header('allow'),
        'PUT, GET, HEAD',
        'row order',
    );
    t.equal((await client.get('/')).header('content-length'), '0');
    t.same((await client.get('/images/a%2Fb%20c')).document['params'], { uuid: 'a/b c' }, 'decoded');
    t.equal((await client.get('/docs/')).json, '', 'the rest may be empty');
    t.equal((await client.get('/docs//a//b%20c')).json, 'a/b c', 'slashes collapse, the rest is decoded');
    t.equal((await client.get('/docs')).status, 404, 'the slash before the rest is needed');

    const seen = (await client.get(`//images///${UUID}?a=1&b=%zz`)).document;
    t.match(seen, {
        target: `//images///${UUID}?a=1&b=%zz`,
        path: `//images///${UUID}`,
        params: { uuid: UUID },
    });
    const absolute = await rawExchange(port, `GET http://other/ping HTTP/1.1\r\n${CLOSE}`);
    t.equal(answers(absolute)[0]?.status, 200, 'absolute targets are served');

    channels = false;
    t.strictSame((await client.get('/channels')).json, {
        code: 'ResourceNotFound',
        message: '/channels does not exist',
    });
    t.equal((await client.post('/channels')).status, 404, 'unmounted: not 405');
    channels = true;
    t.equal((await client.get('/channels')).status, 200);
});

await t.test('preflight requests', async (t) => {
    const { client } = await startShell(t, ROUTES);
    const ask = async (path: string, method: string, origin = true) =>
        client.request('OPTIONS', path, {
            headers: { ...(origin ? { origin: 'http://a' } : {}), 'access-control-request-method': method },
        });
    const allowed = await ask('/images', 'HEAD');
    t.equal(allowed.status, 200);
    t.equal(allowed.text, '');
    t.equal(allowed.header('content-length'), '0');
    t.equal(allowed.header('allow'), 'GET, HEAD, POST');
    t.equal(allowed.header('access-control-allow-origin'), '*');
    t.equal(allowed.header('access-control-allow-methods'), 'GET, HEAD, POST');
    t.equal(
        allowed.header('access-control-allow-headers'),
        'accept, accept-version, content-type, request-id, origin, x-api-version, x-request-id',
    );
    t.equal(allowed.header('access-control-max-age'), '3600');
    t.equal((await ask('/images', 'DELETE')).status, 405);
    t.equal((await ask('/images', 'GET', false)).status, 405);
});

await t.test('API versions', async (t) => {
    const { client } = await startShell(t, ROUTES);
    const of = async (range: string | undefined, path = `/images/${UUID}`) =>
        client.get(path, range === undefined ? {} : { headers: { 'accept-version': range } });
    for (const range of [undefined, '~1', '1', '1.x', '<2', '1.0.0']) {
        t.equal((await of(range)).document['version2'], false, `${range}`);
    }
    for (const range of ['', '*', 'x', '~2', '2', '>=1', '~1 || ~2', '~2.1', '2.1.0']) {
        t.equal((await of(range)).document['version2'], true, `"${range}"`);
    }
    for (const range of ['~99', 'foo', '3', `${'1 || '.repeat(100)}1`]) {
        const answer = await of(range, '/ping');
        t.equal(answer.status, 400);
        t.strictSame(answer.json, {
            code: 'InvalidVersion',
            message: `${range} is not supported by GET /ping`,
        });
    }
    t.equal(
        (await client.get('/ping', { headers: { 'api-version': '~99', 'x-api-version': '~99' } })).status,
        200,
    );
    t.equal((await of('~99', '/nope')).status, 404, 'an unknown path wins');
    t.equal((await client.request('PATCH', '/ping', { headers: { 'accept-version': '~99' } })).status, 405);
    t.equal((await of('~99', '/images/%zz')).error.code, 'BadRequestError', 'a malformed path wins');
    t.equal((await of('~99', '/any')).status, 200, 'rows that take any version');
    const messageOfHead = await client.request('HEAD', '/ping', { headers: { 'accept-version': '~99' } });
    t.equal(messageOfHead.status, 400);
});

await t.test('standard headers are on every answer', async (t) => {
    const shell = await startShell(t, ROUTES);
    const { client, config } = shell;
    const requests: readonly (readonly [string, string, Record<string, string>])[] = [
        ['GET', '/ping', {}],
        ['GET', '/nope', {}],
        ['PATCH', '/ping', {}],
        ['GET', '/ping', { 'accept-version': '~99' }],
        ['GET', '/boom', {}],
        ['DELETE', `/images/${UUID}`, {}],
        ['OPTIONS', '*', {}],
        ['GET', '/', {}],
        ['GET', '/bad-header', {}],
    ];
    for (const [method, path, headers] of requests) {
        const answer = await client.request(method, path, { headers: { ...headers, 'request-id': 'my-id' } });
        t.match(answer.header('date'), /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
        t.equal(answer.header('server'), 'IMGAPI/test');
        t.equal(answer.header('x-request-id'), 'my-id');
        t.match(answer.header('x-response-time'), /^\d+$/);
        t.equal(answer.header('x-server-name'), HOST_NAME);
        t.equal(answer.header('connection'), 'keep-alive', `${method} ${path}`);
    }
    config.serverName = 'other\u0000\u00e9';
    t.equal((await client.get('/ping')).header('server'), 'other??', 'the name is live and always sendable');

    const closing = await client.get('/ping', { headers: { connection: 'close' } });
    t.equal(closing.header('connection'), 'close');
    shell.drain = true;
    t.equal((await client.get('/ping')).header('connection'), 'close', 'while draining');
});

await t.test('request ids', async (t) => {
    const { client } = await startShell(t, ROUTES);
    const id = async (headers: Record<string, string>) =>
        (await client.get('/ping', { headers })).header('x-request-id');
    t.equal(await id({ 'request-id': 'a', 'x-request-id': 'b' }), 'a');
    t.equal(await id({ 'x-request-id': '!~b' }), '!~b');
    t.equal(await id({ 'x-request-id': 'y'.repeat(128) }), 'y'.repeat(128));
    for (const odd of ['with space', 'y'.repeat(129), 'caf\u00e9', '']) {
        t.match(
            await id({ 'request-id': odd }),
            /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/,
            `"${odd}" is replaced`,
        );
    }
    t.not(await id({}), await id({}));
});

await t.test('JSON, HEAD and empty answers', async (t) => {
    const { client } = await startShell(t, ROUTES);
    const got = await client.get(`/images/${UUID}`, { headers: { accept: 'text/plain' } });
    t.equal(got.header('content-type'), 'application/json');
    t.equal(got.text, JSON.stringify(got.json, null, 2));
    t.equal(got.header('content-length'), String(got.body.length));

    const get = await client.get('/images');
    const head = await client.request('HEAD', '/images');
    t.equal(head.text, '');
    for (const name of ['content-type', 'content-length', 'etag'])
        t.equal(head.header(name), get.header(name));
});

await t.test('HEAD has the headers of GET and 204 no length', async (t) => {
    const { client } = await startShell(t, ROUTES);
    const path = `/images/${UUID}/file`;
    const head = await client.request('HEAD', path);
    t.strictSame([head.status, head.text, head.header('content-length')], [200, '', '20000000']);
    const missing = await client.request('HEAD', '/nope');
    t.strictSame([missing.status, missing.text], [404, '']);
    t.equal(missing.header('content-length'), String((await client.get('/nope')).body.length));
    const gone = await client.delete(`/images/${UUID}`);
    t.strictSame([gone.status, gone.text], [204, '']);
    t.strictSame([gone.header('content-length'), gone.header('content-type')], [undefined, undefined]);
    t.equal((await client.post('/state')).header('content-length'), '0');
});

await t.test('large texts arrive whole, to slow readers too', async (t) => {
    const { client, server } = await startShell(t, ROUTES);
    const message = await client.download(`/images/${UUID}/file`);
    await once(message, 'readable');
    t.equal(server.inFlight().length, 1, 'it waits for the reader');
    t.match(server.inFlight()[0], { route: 'GetImageFile', uuid: UUID, modifying: false });
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    t.ok(Buffer.concat(parts).equals(Buffer.concat(bigParts)));
    await eventually(() => server.inFlight().length === 0);

    const leaver = await client.download(`/images/${UUID}/file`);
    await once(leaver, 'readable');
    leaver.destroy();
    await eventually(() => server.inFlight().length === 0);
    t.pass('a reader that goes away ends the request');
});

await t.test('failures of handlers', async (t) => {
    const { client, logged } = await startShell(t, ROUTES);
    const boom = await client.get('/boom', { headers: { 'request-id': 'boom-1' } });
    t.equal(boom.status, 500);
    t.strictSame(boom.json, { code: 'InternalError', message: 'internal error' });
    const record = await logged((one) => one.level === 50 && one['req_id'] === 'boom-1');
    t.match((record['err'] as Error).message, /secret/, 'the log has the cause');
    t.equal((await client.get('/nothing')).status, 500);
    t.equal((await client.get('/bad-header')).error.code, 'InternalError');
    const refused = await client.post(`/images/${UUID}`, {});
    t.strictSame(refused.json, {
        code: 'InvalidParameter',
        message: 'no',
        errors: [{ field: 'a', code: 'Invalid' }],
    });
    const unauthorized = await client.put(`/images/${UUID}/icon`, 'x');
    t.equal(unauthorized.header('www-authenticate'), 'Signature realm="imgapi"');
});

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
    const { client, port, server } = await startShell(t, ROUTES, { drainMs: 200 });
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

    const socket = connect(port, '127.0.0.1');
    let reply = '';
    socket.on('data', (data: Buffer) => (reply += data.toString()));
    socket.on('error', () => undefined);
    socket.write(`PUT /images/${UUID}/icon HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n`);
    await eventually(() => reply.includes('Unauthorized'));
    t.pass('the answer comes while the body is still being sent');
    const pump = (): boolean => socket.write(Buffer.alloc(1_000_000));
    socket.on('drain', pump);
    pump();
    await once(socket, 'close');
    t.ok(socket.bytesWritten < 50_000_000, 'bounded in size');
    await eventually(() => server.inFlight().length === 0);
});

await t.test('an upload refused on the way', async (t) => {
    const { client, server } = await startShell(t, ROUTES, { drainMs: 300 });
    const answer = await client.put(`/images/${UUID}/file`, Buffer.alloc(5_500_000));
    t.strictSame([answer.status, answer.error.code], [400, 'Upload'], 'the client gets to read why');
    t.equal(answer.header('connection'), 'close');
    t.strictSame((await client.put(`/images/${UUID}/file`, Buffer.alloc(3_000_000))).json, {
        size: 3_000_000,
    });

    const open = client.open('PUT', `/images/${UUID}/file`, { headers: { 'content-length': '1000' } });
    started = undefined;
    open.request.write('abc');
    const stream = await eventually(() => started);
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
    gate = new Gate();
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const reply = rawExchange(
        port,
        get('/gate/a') + get('/gate/b') + get('/nope') + `GET /ping HTTP/1.1\r\n${CLOSE}`,
    );
    await eventually(() => gate.reached.length === 1);
    t.strictSame(gate.reached, ['a'], 'one at a time');
    gate.open();
    const all = answers(await reply);
    t.strictSame(
        all.map(({ status }) => status),
        [200, 200, 404, 200],
    );
    t.strictSame(gate.reached, ['a', 'b']);

    // Garbage behind a good request does not spoil its answer.
    const mixed = answers(await rawExchange(port, `${get('/ping')}${get('/images')}%%%\r\n\r\n`));
    t.strictSame(
        mixed.map(({ status }) => status),
        [200, 200],
    );

    // A request behind an answer with `Connection: close` is not carried out.
    const behind = `GET /gate/last HTTP/1.1\r\n${CLOSE}${get('/gate/never')}`;
    t.equal(answers(await rawExchange(port, behind)).length, 1);
    t.notOk(gate.reached.includes('never'));

    gate = new Gate();
    const flood = await rawExchange(port, get('/gate/x').repeat(6)).catch((error: unknown) => error);
    t.ok(flood instanceof Error || flood === '', 'too many waiting requests cut the connection');
    gate.open();
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
    gate = new Gate();
    const waiting = rawExchange(still.port, `GET /gate/long HTTP/1.1\r\n${CLOSE}`);
    await eventually(() => gate.reached.length === 1);
    t.equal(await rawExchange(still.port, begun), '', 'as long as this takes');
    t.equal(await rawExchange(still.port, begun), '', 'twice');
    gate.open();
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

    gate = new Gate();
    const waiting = shell.client.get('/gate/a');
    const aborting = shell.client.get('/until-abort');
    await eventually(() => gate.reached.length === 2);
    shell.drain = true;
    server.stopAccepting();
    server.closeIdleConnections();
    await Promise.all([once(fresh, 'close'), once(other, 'close')]);
    t.pass('connections without a request are closed');
    t.equal(server.inFlight().length, 2);
    t.match(server.inFlight()[0], { req_id: String, since: /^\d{4}-/, bytes: 0, route: 'Gate' });

    gate.open();
    const last = await waiting;
    t.strictSame([last.status, last.header('connection')], [200, 'close'], 'a running request finishes');
    const closed = server.close();
    await once(partial, 'close');
    server.abortAll();
    const cut = await aborting;
    t.equal(cut.status, 503, 'an aborted one says why');
    t.strictSame(cut.json, { code: 'ServiceUnavailableError', message: 'server is shutting down' });
    t.match(reasons.at(-1), { code: 'ServiceUnavailableError' });
    await closed;
    t.equal(server.inFlight().length, 0);
    await t.rejects(shell.client.get('/ping'), 'nobody listens');
});

await t.test('a client that goes away aborts the request', async (t) => {
    const { port, server } = await startShell(t, ROUTES);
    gate = new Gate();
    const socket = await opened(port);
    socket.write('GET /until-abort HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => gate.reached.length === 1);
    socket.destroy();
    await eventually(() => server.inFlight().length === 0);
    t.match(String(reasons.at(-1)), /client closed/);
});
