import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { JsonRequest } from '#lib/base/http-client.js';
import { sendJson } from '../doubles/http-service.js';
import { echo, makeClient, serve } from '../helpers/outgoing.js';
import { eventually, freePort } from '../helpers/server-process.js';

const REQUEST_ID = 'c6a2b4d8-0000-4000-8000-000000000001';

void t.test('a request as it is sent', async (t) => {
    const service = await serve(t, echo);
    const { client, get } = makeClient(t);
    const { signal } = new AbortController();
    const answer = await client.json({
        url: `${service.url}/base/vms?channel=dev`,
        peer: 'service',
        query: { name: 'a b&c', limit: '1' },
        headers: { 'accept-version': '*' },
        requestId: REQUEST_ID,
        signal,
    });
    t.equal(answer.status, 200);
    t.equal(answer.headers['content-type'], 'application/json');
    t.same(answer.body, { path: '/base/vms', query: { channel: 'dev', name: 'a b&c', limit: '1' } });
    const [sent] = service.requests;
    t.match(sent?.headers, {
        'user-agent': 'IMGAPI/9',
        'x-request-id': REQUEST_ID,
        'accept-version': '*',
        accept: 'application/json',
    });
    t.notOk(sent?.headers['request-id']);
    t.notOk(sent?.headers.authorization);

    await get(service.url.replace('://', '://us%40er:pa%3Ass@'), { peer: 'image-server', requestId: 'i' });
    t.match(service.requests[1]?.headers, { 'request-id': 'i', 'x-request-id': 'i' });
    const [, base64 = ''] = service.requests[1]?.headers.authorization?.split(' ') ?? [];
    t.equal(Buffer.from(base64, 'base64').toString(), 'us@er:pa:ss');
    await get(service.url, { peer: 'registry', requestId: 'i' });
    t.notOk(service.requests[2]?.headers['x-request-id'], 'registries are told no id');
    await get(service.url, { method: 'POST', body: { a: 1 } });
    t.match(service.requests[3], {
        method: 'POST',
        body: '{"a":1}',
        headers: { 'content-type': 'application/json' },
    });
    t.ok(service.connections < service.requests.length, 'connections are kept');
});

void t.test('answers that are of no use', async (t) => {
    const body = { code: 'ValidationFailed', message: 'Invalid Parameters' };
    const service = await serve(t, ({ path }, response) => {
        if (path === '/refused') sendJson(response, 409, body);
        else if (path === '/text') response.writeHead(404).end('not here');
        else if (path === '/verbose') sendJson(response, 500, { text: 'x'.repeat(100_000) });
        else if (path === '/empty') response.writeHead(200).end();
        else if (path === '/big') sendJson(response, 200, 'x'.repeat(2000));
        else response.writeHead(200).end('{"secret": ');
    });
    // With one connection, one that is not given back stops all that follow.
    const { failure, get } = makeClient(t, { maxSockets: 1 });
    const fails = async (path: string, expected: object, request: Partial<JsonRequest> = {}) => {
        const error = await failure(
            `${service.url.replace('//', '//user:password@')}${path}?key=hidden`,
            request,
        );
        t.match(error, expected, path);
        t.notMatch(error.message, /password|hidden|secret/, `${path}: the message can be logged`);
    };
    await fails('/refused', { kind: 'status', status: 409, body });
    await fails('/text', { kind: 'status', status: 404, body: undefined });
    await fails('/verbose', { kind: 'status', status: 500, body: undefined });
    await fails('/half', { kind: 'malformed' });
    await fails('/empty', { kind: 'malformed' });
    await fails('/big', { kind: 'too-large' }, { maxBytes: 2001 });
    t.equal(await get(`${service.url}/big`, { maxBytes: 2002 }), 'x'.repeat(2000), 'just fits');
    for (const url of ['', 'vmapi', 'file:///etc/passwd', 'http://']) {
        t.match(await failure(url), { kind: 'malformed' }, JSON.stringify(url));
    }
    t.match(await failure(service.url.replace('//', '//%ff@')), { kind: 'malformed' });
    service.fault = 'no-http';
    t.match(await failure(service.url), { kind: 'malformed' });
    service.fault = 'break-off';
    t.match(await failure(service.url), { kind: 'connect' });
    service.fault = 'garbage';
    t.match(await failure(service.url), { kind: 'malformed' });
});

void t.test('without time limits', async (t) => {
    const service = await serve(t, (_request, response) => {
        setTimeout(() => sendJson(response, 200, 'late'), 300);
    });
    const { failure, get } = makeClient(t, {}, { timeouts: { headersMs: 50, stallMs: 50, totalMs: 50 } });
    t.match(await failure(service.url), { kind: 'timeout' });
    t.equal(await get(service.url, { timeouts: { headersMs: 0, stallMs: 0, totalMs: 0 } }), 'late');
});

void t.test('time limits', async (t) => {
    const service = await serve(t, echo);
    const { failure, client } = makeClient(t, { maxSockets: 1 });
    service.fault = 'hang';
    t.match(await failure(service.url, { timeouts: { headersMs: 50 } }), { kind: 'timeout' });
    t.match(await failure(service.url, { timeouts: { totalMs: 50 } }), { kind: 'timeout' });
    service.fault = 'hang-body';
    t.match(await failure(service.url, { timeouts: { stallMs: 50 } }), { kind: 'timeout' });
    t.match(await failure(service.url, { timeouts: { totalMs: 50 } }), { kind: 'timeout' });
    t.equal(service.requests.length, 4, 'nothing that was sent is sent again');

    const given = new AbortController();
    const asked = failure(service.url, { signal: given.signal });
    await eventually('the request to arrive', 5000, () => service.requests.length === 5);
    given.abort();
    t.match(await asked, { kind: 'aborted' });
    t.match(await failure(service.url, { signal: AbortSignal.abort() }), { kind: 'aborted' });
    t.equal(service.requests.length, 5, 'what is given up is not sent');
    await eventually('hanging connections to be cut', 5000, () => service.sockets.size === 0);

    const open = failure(service.url);
    await eventually('the last request to arrive', 5000, () => service.requests.length === 6);
    await client.close();
    t.match(await open, { kind: 'aborted' });
    t.match(await failure(service.url), { kind: 'aborted' }, 'closed');
    await eventually('all connections to be cut', 5000, () => service.sockets.size === 0);
});

void t.test('a connection that cannot be made', async (t) => {
    const { failure } = makeClient(t);
    const refused = await failure(`http://127.0.0.1:${await freePort()}`);
    t.match(refused, { kind: 'connect', message: /ECONNREFUSED/ });
    t.match(await failure('http://name.invalid/'), { kind: 'connect' });

    // It takes connections and never gets to talk TLS.
    const silent = createTcpServer((socket) => socket.on('error', () => undefined).resume());
    let taken = 0;
    silent.on('connection', () => (taken += 1));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const timeouts = { connectMs: 50 };
    t.match(await failure(`https://127.0.0.1:${address.port}`, { timeouts }), {
        kind: 'connect',
        message: /Connect Timeout/,
    });
    t.equal(taken, 3, 'tried three times');
    await new Promise((resolve) => silent.close(resolve));
});

void t.test('connections are tried again', async (t) => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const waits: number[] = [];
    const { failure } = makeClient(t, {}, { retryDelaysMs: [60, 120] });
    const before = performance.now();
    t.match(await failure(url), { kind: 'connect' });
    waits.push(performance.now() - before);
    t.ok((waits[0] ?? 0) >= 175, `after ${String(waits[0])} ms`);
    const given = new AbortController();
    const stopped = makeClient(t, {}, { retryDelaysMs: [60_000] }).failure(url, { signal: given.signal });
    setImmediate(() => given.abort());
    t.match(await stopped, { kind: 'aborted' }, 'a wait can be given up');

    const service = await serve(t, echo);
    const { get, failure: fails } = makeClient(t);
    await get(service.url);
    service.fault = 'hang-up';
    t.match(await fails(service.url), { kind: 'connect' });
    t.equal(service.requests.length, 4, 'a lost GET is sent three times');
    t.match(await fails(service.url, { method: 'POST', body: {} }), { kind: 'connect' });
    t.equal(service.requests.length, 5, 'a lost POST is not sent again');
    await service.stop();
    service.fault = 'none';
    const late = makeClient(t, {}, { retryDelaysMs: [300] }).get(service.url, { method: 'POST', body: {} });
    await service.start();
    t.same(await late, { path: '/', query: {} }, 'a POST waits for the service to come back');
});

void t.test('redirects', async (t) => {
    const other = await serve(t, echo);
    const service = await serve(t, ({ path }, response) => {
        const [, status = '', hops = '0'] = /^\/(\d+)\/?(.*)$/.exec(path) ?? [];
        if (status === '') sendJson(response, 200, { path });
        else if (hops === 'other') response.writeHead(Number(status), { location: `${other.url}/x` }).end();
        else if (hops === 'file') response.writeHead(302, { location: 'file:///etc/passwd' }).end();
        else if (hops === 'nowhere') response.writeHead(302).end('{}');
        else if (hops === '1') response.writeHead(Number(status), { location: '../end?a=1' }).end('moved');
        else response.writeHead(Number(status), { location: `/${status}/${Number(hops) - 1}` }).end('moved');
    });
    const { get, failure, client } = makeClient(t);
    for (const status of [301, 302, 303, 307, 308]) {
        t.same(await get(`${service.url}/${status}/5`), { path: '/end' }, String(status));
    }
    service.requests.length = 0;
    t.match(await failure(`${service.url}/302/6`), { kind: 'malformed', message: /more than 5 redirects/ });
    t.equal(service.requests.length, 6);
    t.match(await failure(`${service.url}/302/file`), { kind: 'malformed' });
    t.match(await failure(`${service.url}/302/nowhere`), { kind: 'malformed' });
    t.match(await failure(`${service.url}/300/1`), { kind: 'status', status: 300 });
    t.match(await failure(`${service.url}/307/1`, { method: 'POST', body: {} }), {
        kind: 'status',
        status: 307,
    });

    service.requests.length = 0;
    const headers = { Authorization: 'Bearer t', 'x-other': 'kept' };
    await get(`${service.url}/302/1`, { headers });
    t.match(service.requests[1]?.headers, { authorization: 'Bearer t', 'x-other': 'kept' }, 'same origin');
    await get(`${service.url}/302/other`, { headers });
    t.notOk(other.requests[0]?.headers.authorization, 'dropped for another origin');
    t.equal(other.requests[0]?.headers['x-other'], 'kept');
    const { signal } = new AbortController();
    const opened = await client.open({ url: `${service.url}/302/other?a=b`, peer: 'web', signal });
    t.equal(opened.url, `${other.url}/x`);
    t.same(JSON.parse(String(await buffer(opened.body))), { path: '/x', query: {} });
});

void t.test('an open answer', async (t) => {
    const bytes = Buffer.alloc(300_000, 'x');
    const service = await serve(t, ({ path }, response) => {
        if (path === '/missing') sendJson(response, 404, { code: 'ResourceNotFound' });
        else response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    });
    const { client } = makeClient(t, {}, { timeouts: { stallMs: 50, totalMs: 5000 } });
    const { signal } = new AbortController();
    const opened = await client.open({ url: `${service.url}/file`, peer: 'image-server', signal });
    t.equal(opened.headers['content-length'], '300000');
    t.notOk(service.requests[0]?.headers.accept);
    t.ok((await buffer(opened.body)).equals(bytes));
    const missing: unknown = await client
        .open({ url: `${service.url}/missing`, peer: 'image-server', signal })
        .catch((thrown: unknown) => thrown);
    t.match(missing, { kind: 'status', status: 404, body: { code: 'ResourceNotFound' } });

    service.fault = 'hang-body';
    const stalled = await client.open({ url: service.url, peer: 'image-server', signal });
    const error: unknown = await buffer(stalled.body).catch((thrown: unknown) => thrown);
    t.match(stalled.failure(error), { kind: 'timeout', message: `GET ${service.url}/` });
    const given = new AbortController();
    const cut = await client.open({
        url: service.url,
        peer: 'image-server',
        signal: given.signal,
        timeouts: { stallMs: 60_000 },
    });
    const reading = buffer(cut.body).catch((thrown: unknown) => thrown);
    given.abort();
    t.ok((await reading) instanceof Error, 'the signal still ends the body');
    const dropped = await client.open({ url: service.url, peer: 'image-server', signal });
    dropped.body.on('error', () => undefined).destroy();
    await eventually('no connection to be left', 5000, () => service.sockets.size === 0);
});

void t.test('sockets per host', async (t) => {
    let most = 0;
    let busy = 0;
    const waiting: (() => void)[] = [];
    const service = await serve(t, (_, response) => {
        busy += 1;
        most = Math.max(most, busy);
        waiting.push(() => {
            busy -= 1;
            sendJson(response, 200, {});
        });
    });
    const { get, setConfig } = makeClient(t, { maxSockets: 2 });
    const drain = async (answers: readonly Promise<unknown>[]): Promise<void> => {
        for (let done = 0; done < answers.length; done += 1) {
            (await eventually('a request', 5000, () => waiting.shift()))();
        }
        await Promise.all(answers);
    };
    const first = Array.from({ length: 6 }, () => get(service.url));
    await eventually('two requests', 5000, () => waiting.length === 2);
    await drain(first);
    t.equal(most, 2);
    setConfig({ maxSockets: 4 });
    const second = Array.from({ length: 6 }, () => get(service.url));
    await eventually('four requests', 5000, () => waiting.length === 4);
    await drain(second);
    t.equal(most, 4, 'a new limit counts from the next request on');
    setConfig({ maxSockets: 0 });
    await drain([get(service.url)]);
});

void t.test('more pools of connections than are kept', async (t) => {
    let release = (): void => undefined;
    const service = await serve(t, (request, response) => {
        if (request.path === '/slow') release = () => echo(request, response);
        else echo(request, response);
    });
    const { get } = makeClient(t);
    const slow = get(`${service.url}/slow`);
    await eventually('the slow request', 5000, () => service.requests.length === 1);
    for (let host = 1; host <= 102; host += 1) {
        // Another time limit for the connection needs a pool of its own, as another host does.
        await get(service.url, { timeouts: { connectMs: 1000 + host } });
    }
    // The slow one's still has a request, the next two have nothing to do and go at once.
    await eventually('retired connections to close', 3000, () => service.sockets.size <= 101);
    release();
    t.match(await slow, { path: '/slow' }, 'a retired pool ends what it has begun');
});
