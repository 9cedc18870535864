import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { OutgoingRequest } from '#lib/base/http-client.js';
import { bytesContent, type RequestContent } from '#lib/base/http-content.js';
import { sendJson } from '../doubles/http-service.js';
import { makeClient, serve } from '../helpers/outgoing.js';
import { failureOf } from '../helpers/registry-repositories.js';
import { eventually, freePort } from '../helpers/server-process.js';

const CHUNK = Buffer.alloc(64 * 1024, 'c');
const MIB = 1024 * 1024;

/** Content that can be watched while it is sent. */
class Watched implements RequestContent {
    readonly type = 'application/octet-stream';
    readonly sources: Readable[] = [];
    readonly told: number[] = [];
    produced = 0;
    readonly length: number;
    readonly #actual: number;
    readonly #error: Error | undefined;

    /** @param actual bytes there are; then `error`, if there is one, or else the end */
    constructor(length: number, actual = length, error?: Error) {
        this.length = length;
        this.#actual = actual;
        this.#error = error;
    }

    async open(): Promise<Readable> {
        await Promise.resolve();
        let left = this.#actual;
        const source = new Readable({
            read: () => {
                const chunk = CHUNK.subarray(0, Math.min(left, CHUNK.length));
                left -= chunk.length;
                this.produced += chunk.length;
                if (chunk.length > 0) source.push(chunk);
                else if (this.#error === undefined) source.push(null);
                else source.destroy(this.#error);
            },
        });
        this.sources.push(source);
        return source;
    }

    readonly onSent = (sent: number): void => void this.told.push(sent);

    get isGivenBack(): boolean {
        return this.sources.every(({ destroyed }) => destroyed);
    }
}

async function listen(t: Test, handle: RequestListener): Promise<string> {
    const server: Server = createServer(handle).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => {
        server.closeAllConnections();
        server.close();
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}`;
}

async function* slowly(text: string, pauseMs: number): AsyncGenerator<Buffer> {
    for (const letter of text) {
        await delay(pauseMs);
        yield Buffer.from(letter);
    }
}

function put(url: string, content: RequestContent, more: Partial<OutgoingRequest> = {}): OutgoingRequest {
    return { url, peer: 'registry', method: 'PUT', content, signal: new AbortController().signal, ...more };
}

void t.test('content as it is sent', async (t) => {
    const service = await serve(t, (_, response) => sendJson(response, 201, {}));
    const { client } = makeClient(t, { maxSockets: 1 });
    const content = new Watched(300_000);
    const headers = { 'x-more': 'yes' };
    t.equal((await client.bytes(put(service.url, content, { headers }))).status, 201);
    t.match(service.requests[0], {
        method: 'PUT',
        headers: { 'content-type': content.type, 'content-length': '300000', 'x-more': 'yes' },
    });
    t.notOk(service.requests[0]?.headers['transfer-encoding']);
    t.equal(service.requests[0]?.body.length, 300_000);
    t.equal(content.told.at(-1), 300_000);
    t.same(
        content.told,
        content.told.toSorted((a, b) => a - b),
    );
    await eventually('the content to be given back', 5000, () => content.isGivenBack);

    const empty = new Watched(0);
    await client.bytes(put(service.url, empty, { method: 'POST' }));
    t.match(service.requests[1], { method: 'POST', body: '', headers: { 'content-length': '0' } });
    t.notOk(service.requests[1]?.headers['transfer-encoding']);
    t.same(empty.sources, [], 'nothing is opened to send nothing');
    await client.bytes(put(service.url, empty));
    t.match(service.requests[2], { method: 'PUT', headers: { 'content-length': '0' } });
    await client.bytes(put(service.url, bytesContent('text/plain', Buffer.from('few'))));
    t.match(service.requests[3], { body: 'few', headers: { 'content-type': 'text/plain' } });
    t.equal(service.connections, 1, 'the connection is kept');
});

void t.test('content that cannot be read', async (t) => {
    const service = await serve(t, (_, response) => sendJson(response, 201, {}));
    const { client } = makeClient(t, { maxSockets: 1 });
    const rows: [string, RequestContent, RegExp][] = [
        ['too short', new Watched(300_000, 200_000), /200000 bytes instead of 300000/],
        ['too long', new Watched(200_000, 300_000), /more than 200000 bytes/],
        ['broken', new Watched(300_000, 100_000, new Error('EIO: /secret/place')), /reading failed/],
        [
            'missing',
            { type: 'a/b', length: 1, open: () => Promise.reject(new Error('ENOENT: /secret/place')) },
            /cannot be opened/,
        ],
    ];
    for (const [what, content, message] of rows) {
        const error = await failureOf(client.bytes(put(service.url, content)));
        t.match(error, { kind: 'unreadable', message }, what);
        t.notMatch(error.message, /secret/, `${what}: the message names no place`);
        t.ok(!(content instanceof Watched) || content.isGivenBack, what);
    }
    t.equal(service.requests.length, 0, 'none of it was taken for whole');
});

void t.test('a server that does not take what is sent', async (t) => {
    let seen = 0;
    const deaf = await listen(t, () => (seen += 1));
    const { client } = makeClient(t);
    const length = 256 * MIB;
    const stalled = new Watched(length);
    const timeouts = { stallMs: 150, totalMs: 0 };
    t.match(await failureOf(client.bytes(put(deaf, stalled, { timeouts }))), {
        kind: 'timeout',
        message: /nothing of what is to be sent was taken for 150 ms/,
    });
    t.ok(stalled.produced < length / 4, `no more was read than was taken: ${stalled.produced}`);
    t.ok(stalled.isGivenBack);
    t.equal(seen, 1, 'it is not sent again');

    const given = new AbortController();
    const unwanted = new Watched(length);
    const sending = failureOf(client.bytes(put(deaf, unwanted, { signal: given.signal })));
    await eventually('something to be sent', 5000, () => unwanted.produced > 0);
    given.abort();
    t.match(await sending, { kind: 'aborted' });
    t.ok(unwanted.isGivenBack);

    const never: RequestContent = {
        type: 'a/b',
        length: 2,
        open: () => new Promise<Readable>(() => undefined),
    };
    t.match(await failureOf(client.bytes(put(deaf, never, { timeouts }))), { kind: 'timeout' });
    const service = await serve(t, (_, response) => sendJson(response, 201, {}));
    const slow: RequestContent = {
        type: 'a/b',
        length: 5,
        open: () => Promise.resolve(Readable.from(slowly('abcde', 60), { objectMode: false })),
    };
    await client.bytes(put(service.url, slow, { timeouts }));
    t.equal(service.requests[0]?.body, 'abcde', 'slow is not stalled');
});

void t.test('answers before the end', async (t) => {
    const url = await listen(t, (request, response) => {
        if (request.url === '/cut') request.once('data', () => request.socket.destroy());
        else if (request.url === '/early') response.writeHead(201).end();
        else if (request.url === '/late') {
            response.writeHead(413).write('{"errors":');
            request.resume();
            setTimeout(() => response.end('[]}'), 50);
        } else sendJson(response, 413, { errors: [{ code: 'TOO_LARGE' }] });
    });
    const { client } = makeClient(t);
    const length = 64 * MIB;
    const refused = new Watched(length);
    t.match(await failureOf(client.bytes(put(url, refused))), {
        kind: 'status',
        status: 413,
        body: { errors: [{ code: 'TOO_LARGE' }] },
    });
    await eventually('the content to be given back', 5000, () => refused.isGivenBack);
    t.ok(refused.produced < length, 'the rest is not sent');
    const spelled = new Watched(64 * length);
    t.match(await failureOf(client.bytes(put(`${url}/late`, spelled))), {
        status: 413,
        body: { errors: [] },
    });
    await eventually('the content to be given back', 5000, () => spelled.isGivenBack);
    t.ok(spelled.produced < spelled.length);
    const early = new Watched(length);
    t.match(await failureOf(client.bytes(put(`${url}/early`, early))), { kind: 'malformed' });
    await eventually('the content to be given back', 5000, () => early.isGivenBack);
    const cut = new Watched(length);
    t.match(await failureOf(client.bytes(put(`${url}/cut`, cut))), { kind: 'connect' });
    t.ok(cut.isGivenBack);
    t.equal(cut.sources.length, 1, 'what was lost on the way is not sent again');
});

void t.test('content and connections that cannot be made', async (t) => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const content = new Watched(100_000);
    const server = createServer((request, response) => {
        request.resume().once('end', () => response.writeHead(201).end());
    });
    t.teardown(() => server.close());
    const { client } = makeClient(t, {}, { retryDelaysMs: [60_000] });
    t.match(await failureOf(client.bytes(put(url, content, { retryDelaysMs: [] }))), { kind: 'connect' });
    t.equal(content.sources.length, 0, 'nothing is opened without a connection');

    let tries = 0;
    const lookup = async (): Promise<{ address: string; family: number }[]> => {
        tries += 1;
        if (tries === 3) await once(server.listen(port, '127.0.0.1'), 'listening');
        return [{ address: '127.0.0.1', family: 4 }];
    };
    const egress = { allowHosts: [], denyHosts: ['elsewhere.test'], guardOperators: false };
    const { client: looking } = makeClient(t, { egress }, { lookup });
    const named = put(`http://registry.test:${port}`, content, { supplier: 'operator' });
    t.equal((await looking.bytes(named)).status, 201, 'the third try sends it');
    t.equal(content.sources.length, 1);
    await looking.close();
});

void t.test('content and redirects', async (t) => {
    const other = await serve(t, (_, response) => sendJson(response, 201, {}));
    const service = await serve(t, ({ path }, response) => {
        if (path === '/end') sendJson(response, 201, {});
        else if (path === '/other') response.writeHead(307, { location: `${other.url}/end` }).end();
        else response.writeHead(Number(path.slice(1)), { location: '/end' }).end();
    });
    const { client } = makeClient(t);
    const headers = { authorization: 'Bearer t' };
    for (const status of [307, 308]) {
        const content = new Watched(100_000);
        const url = `${service.url}/${status}`;
        service.requests.length = 0;
        await client.bytes(put(url, content, { redirectsContent: true, headers }));
        t.match(service.requests[1], { path: '/end', method: 'PUT', headers }, String(status));
        t.equal(service.requests[1]?.body.length, 100_000);
        t.equal(content.sources.length, 2, 'opened anew');
        await eventually('the content to be given back', 5000, () => content.isGivenBack);
        t.match(await failureOf(client.bytes(put(url, content))), { kind: 'status', status });
    }
    await client.bytes(
        put(`${service.url}/other`, new Watched(100_000), { redirectsContent: true, headers }),
    );
    t.equal(other.requests[0]?.body.length, 100_000);
    t.notOk(other.requests[0]?.headers.authorization, 'another origin learns nothing');
    const moved = put(`${service.url}/302`, new Watched(10), { redirectsContent: true });
    t.match(await failureOf(client.bytes(moved)), { kind: 'status', status: 302 });
});

void t.test('bytes of any kind', async (t) => {
    const service = await serve(t, ({ path }, response) => {
        if (path === '/a/b') response.writeHead(200, { 'x-kind': 'text' }).end('not { JSON');
        else response.writeHead(302, { location: '/a/b?signature=secret' }).end();
    });
    const { client } = makeClient(t);
    const { signal } = new AbortController();
    const asked = { url: service.url, peer: 'registry', signal } as const;
    const { body, ...rest } = await client.bytes(asked);
    t.equal(body.toString(), 'not { JSON');
    t.match(rest, { status: 200, headers: { 'x-kind': 'text' }, url: `${service.url}/a/b` });
    t.match(await failureOf(client.bytes({ ...asked, maxBytes: 9 })), { kind: 'too-large' });
    t.equal((await client.bytes({ ...asked, maxBytes: 10 })).body.length, 10);
    service.fault = 'break-off';
    t.match(await failureOf(client.bytes(asked)), { kind: 'connect' });
});
