import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { OpenedSourceFile } from '#lib/remotes/image-source.js';
import { ResumableBody } from '#lib/transfers/resumable-body.js';
import { Retries } from '#lib/transfers/retries.js';
import { sendJson, type HttpService, type ServiceHandler } from '../doubles/http-service.js';
import { serve } from '../helpers/outgoing.js';
import { failureOf, repositoryAt, unending } from '../helpers/registry-repositories.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually } from '../helpers/server-process.js';

const BYTES = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
const DIGEST = `sha256:${createHash('sha256').update(BYTES).digest('hex')}`;
const BLOB_PATH = `/v2/a/b/blobs/${DIGEST}`;
const MISSING = { errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known to registry' }] };

/** A registry that anybody may ask. */
async function serveOpen(t: Test, handle: ServiceHandler): Promise<HttpService> {
    return serve(t, (request, response) => {
        if (request.path === '/v2/') sendJson(response, 200, {});
        else handle(request, response);
    });
}

/** Sends a file, or the part of it that is asked for, and perhaps breaks off. */
function sendPart(...[{ headers }, response]: Parameters<ServiceHandler>): void {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    const range = `bytes ${from}-${BYTES.length - 1}/${BYTES.length}`;
    response.writeHead(from === 0 ? 200 : 206, {
        'content-length': BYTES.length - from,
        ...(from === 0 ? {} : { 'content-range': range }),
    });
    response.end(BYTES.subarray(from));
}

void t.test('manifests', async (t) => {
    const text = '{ "schemaVersion": 2 }';
    const service = await serveOpen(t, ({ path }, response) => {
        const headers = {
            'content-type': 'Application/vnd.OCI.image.manifest.v1+json; charset=utf-8',
            'docker-content-digest': 'sha256:abc',
        };
        if (path.endsWith('/tag')) response.writeHead(200, headers).end(text);
        else if (path.endsWith('/bare')) response.writeHead(200).end('no JSON');
        else if (path.endsWith('/huge')) response.writeHead(200).end(Buffer.alloc(8 * 1024 * 1024 + 1));
        else sendJson(response, 404, MISSING);
    });
    const repository = repositoryAt(t, service.url);
    const found = await repository.manifest('tag', unending());
    t.equal(found.bytes.toString(), text);
    t.match(found, { contentType: 'application/vnd.oci.image.manifest.v1+json', digest: 'sha256:abc' });
    t.equal(
        service.requests[1]?.headers.accept,
        'application/vnd.docker.distribution.manifest.v2+json,' +
            'application/vnd.oci.image.manifest.v1+json,' +
            'application/vnd.docker.distribution.manifest.list.v2+json,' +
            'application/vnd.oci.image.index.v1+json',
    );
    t.same(await repository.manifest('bare', unending()), { bytes: Buffer.from('no JSON') });
    t.match(await failureOf(repository.manifest('huge', unending())), { kind: 'too-large' });
    t.match(await failureOf(repository.manifest('none', unending())), { status: 404, body: MISSING });

    service.requests.length = 0;
    for (const odd of ['', '.', '..']) {
        t.match(await failureOf(repository.manifest(odd, unending())), { kind: 'malformed' }, odd);
        t.match(await failureOf(repository.hasBlob(odd, unending())), { kind: 'malformed' }, odd);
    }
    t.equal(service.requests.length, 0);
    await failureOf(repository.manifest('../../c?d#e', unending()));
    await failureOf(repository.openBlob('sha256:1/../..', unending()));
    t.same(
        service.requests.map(({ target }) => target),
        ['/v2/a/b/manifests/..%2F..%2Fc%3Fd%23e', '/v2/a/b/blobs/sha256:1%2F..%2F..'],
        'nothing leads out of the repository',
    );
});

void t.test('blobs', async (t) => {
    const service = await serveOpen(t, (request, response) => {
        if (request.path !== BLOB_PATH) sendJson(response, request.path.endsWith('odd') ? 500 : 404, MISSING);
        else if (request.headers.range === 'bytes=5-') sendJson(response, 200, {}, { etag: '"other"' });
        else if (request.headers.range === 'bytes=6-')
            response.writeHead(206, { 'content-range': 'bytes 7-9/10' }).end('xyz');
        else if (request.headers.range === `bytes=${BYTES.length}-`)
            sendJson(response, 416, {}, { 'content-range': `bytes */${BYTES.length}` });
        else sendPart(request, response);
    });
    const repository = repositoryAt(t, service.url);
    t.equal(await repository.hasBlob(DIGEST, unending()), true);
    t.match(service.requests[1], { method: 'HEAD', path: BLOB_PATH });
    t.equal(await repository.hasBlob('sha256:0', unending()), false);
    t.match(await failureOf(repository.hasBlob('sha256:odd', unending())), { status: 500 });

    const opened = await repository.openBlob(DIGEST, unending());
    t.match(opened, { start: 0, size: BYTES.length, etag: DIGEST });
    t.ok((await buffer(opened.body)).equals(BYTES));
    t.notOk(service.requests.at(-1)?.headers.range);
    const from = async (offset: number): Promise<OpenedSourceFile> =>
        repository.openBlob(DIGEST, { ...unending(), resume: { offset, etag: DIGEST } });
    const rest = await from(100_000);
    t.match(rest, { start: 100_000, size: BYTES.length, etag: DIGEST });
    t.ok((await buffer(rest.body)).equals(BYTES.subarray(100_000)));
    t.notOk(service.requests.at(-1)?.headers['if-range'], 'the digest says all');
    const whole = await from(5);
    t.match(whole, { start: 0, etag: DIGEST }, 'a registry without parts');
    await buffer(whole.body);
    t.match(await failureOf(from(6)), { kind: 'malformed', message: /another part/ });
    t.match(await failureOf(from(BYTES.length)), {
        status: 416,
        headers: { 'content-range': `bytes */${BYTES.length}` },
    });
    t.match(await failureOf(repository.openBlob('sha256:0', unending())), { status: 404, body: MISSING });
});

void t.test('blobs that lie elsewhere', async (t) => {
    const store = await serve(t, sendPart);
    const target = `${store.url}/bucket?signature=secret`;
    const service = await serve(t, ({ path, headers }, response) => {
        const challenge = { 'www-authenticate': 'Basic realm="r"' };
        const [, status = ''] = /blobs\/sha256:(\d+)$/.exec(path) ?? [];
        if (headers.authorization === undefined) sendJson(response, 401, {}, challenge);
        else if (path === '/v2/here') response.writeHead(302, { location: target }).end();
        else if (path.includes('sha256:near'))
            response.writeHead(307, { location: '../../../../v2/here' }).end();
        else if (path.includes('sha256:endless')) response.writeHead(302, { location: path }).end();
        else response.writeHead(Number(status), { location: target }).end();
    });
    const repository = repositoryAt(t, service.url, { credentials: { username: 'u', password: 'p' } });
    for (const digest of ['301', '302', '303', '307', '308', 'near']) {
        const opened = await repository.openBlob(`sha256:${digest}`, unending());
        t.ok((await buffer(opened.body)).equals(BYTES), digest);
        t.notMatch(opened.failure(new Error('x')).message, /secret/);
    }
    const resume = { offset: 299_990, etag: 'sha256:302' };
    const rest = await repository.openBlob('sha256:302', { ...unending(), resume });
    t.equal((await buffer(rest.body)).length, 10, 'parts, too');
    t.equal(store.requests.length, 7);
    t.notOk(
        store.requests.some(({ headers }) => headers.authorization),
        'who stores the blobs learns no password',
    );
    t.match(await failureOf(repository.openBlob('sha256:endless', unending())), {
        kind: 'malformed',
        message: /more than 5 redirects/,
    });
    store.fault = 'unavailable';
    const refused = await failureOf(repository.openBlob('sha256:302', unending()));
    t.match(refused, { status: 503 });
    t.notMatch(refused.message, /secret|signature/);
});

void t.test('a blob whose token ends in the middle', async (t) => {
    let serial = 0;
    const tokens = await serve(t, (_, response) => {
        serial += 1;
        sendJson(response, 200, { token: `t${serial}` });
    });
    const service = await serve(t, (request, response) => {
        if (request.headers.authorization !== `Bearer t${request.headers.range === undefined ? 1 : 2}`) {
            sendJson(response, 401, {}, { 'www-authenticate': `Bearer realm="${tokens.url}"` });
        } else if (request.headers.range === undefined) {
            response.writeHead(200, { 'content-length': BYTES.length });
            response.write(BYTES.subarray(0, 100_000), () => response.socket?.destroy());
        } else sendPart(request, response);
    });
    const repository = repositoryAt(t, service.url);
    const body = new ResumableBody({
        open: (resume, signal) =>
            repository.openBlob(DIGEST, { signal, ...(resume === undefined ? {} : { resume }) }),
        retries: new Retries({ minMs: 1, maxMs: 2, attempts: 5 }),
        signal: unending().signal,
    });
    t.ok((await buffer(body)).equals(BYTES));
    t.equal(serial, 2);
});

void t.test('registries that are slow', async (t) => {
    const service = await serveOpen(t, sendPart);
    const repository = repositoryAt(t, service.url, { timeouts: { headersMs: 60, stallMs: 60 } });
    await repository.ping(unending());
    service.fault = 'hang';
    const failures = await Promise.all(
        [
            repository.manifest('latest', unending()),
            repository.hasBlob(DIGEST, unending()),
            repository.openBlob(DIGEST, unending()),
        ].map(failureOf),
    );
    t.same(
        failures.map(({ kind }) => kind),
        ['timeout', 'timeout', 'timeout'],
    );
    service.fault = 'hang-body';
    const unread = failureOf(repository.manifest('latest', unending()));
    const stalled = await repository.openBlob(DIGEST, unending());
    const error: unknown = await buffer(stalled.body).catch((thrown: unknown) => thrown);
    t.match(stalled.failure(error), { kind: 'timeout' });
    t.match(await unread, { kind: 'timeout' });

    await eventually('all that hang to be cut', 5000, () => service.sockets.size === 0);

    const given = new AbortController();
    service.fault = 'none';
    const patient = repositoryAt(t, service.url);
    const opened = await patient.openBlob(DIGEST, given);
    given.abort();
    t.ok(await buffer(opened.body).catch((thrown: unknown) => thrown instanceof Error));
    t.match(await failureOf(patient.manifest('latest', given)), { kind: 'aborted' });
    t.match(await failureOf(repositoryAt(t, service.url).ping(given)), { kind: 'aborted' });
});

/** What has everything checked: whose registry it is, and whether operators are guarded. */
const GUARDED = [
    ['operator', true],
    ['account', false],
] as const;

async function expectGuarded(t: Test, [supplier, guardOperators]: (typeof GUARDED)[number]): Promise<void> {
    const other = await serve(t, (_, response) => sendJson(response, 200, { token: 't' }));
    const service = await serve(t, ({ path, method, headers }, response) => {
        const challenge = { 'www-authenticate': `Bearer realm="${other.url}/token"` };
        if (path === '/v2/' && headers['user-agent'] === 'strict') sendJson(response, 401, {}, challenge);
        else if (path === '/v2/') sendJson(response, 200, {});
        else if (method === 'POST') response.writeHead(202, { location: `${other.url}/upload` }).end();
        else response.writeHead(307, { location: `${other.url}/blob` }).end();
    });
    const refused = { kind: 'refused', host: '127.0.0.1' };
    const guarded = (allowHosts: readonly string[], serverName = 'lax') =>
        repositoryAt(t, service.url, {
            supplier,
            config: { serverName, egress: { allowHosts, denyHosts: [], guardOperators } },
        });
    t.match(await failureOf(guarded([]).ping(unending())), refused);
    t.same(service.requests, []);
    const here = [`127.0.0.1:${service.port}`];
    await guarded(here).ping(unending());
    t.match(await failureOf(guarded(here, 'strict').manifest('x', unending())), refused, 'the realm');
    t.match(await failureOf(guarded(here).openBlob('sha256:1', unending())), refused, 'a redirect');
    const upload = {
        digest: DIGEST,
        size: 0,
        contentType: 'a/b',
        open: () => Promise.reject(new Error('not opened')),
    };
    t.match(await failureOf(guarded(here).putBlob(upload, unending())), refused, 'an upload');
    t.same(other.requests, []);
    const both = [...here, `127.0.0.1:${other.port}`];
    await buffer((await guarded(both, 'strict').openBlob('sha256:1', unending())).body);
    t.same(
        other.requests.map(({ path }) => path),
        ['/token', '/blob'],
    );
    const denied = repositoryAt(t, service.url, {
        config: { egress: { allowHosts: [], denyHosts: ['127.0.0.1'], guardOperators: false } },
    });
    t.match(await failureOf(denied.ping(unending())), refused, 'hosts that nobody may reach');
}

void t.test('the guard', async (t) => {
    for (const guarded of GUARDED) {
        await t.test(guarded[0], (t) => expectGuarded(t, guarded));
    }
});

void t.test('behind a proxy, and in TLS', async (t) => {
    const service = await serve(
        t,
        (request, response) => {
            if (request.path === '/v2/') sendJson(response, 200, {});
            else sendPart(request, response);
        },
        { tls: selfSigned('127.0.0.1') },
    );
    const proxy = await serve(t, (_, response) => sendJson(response, 200, {}), {
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
    const config = { httpProxy: proxy.url, dockerRegistryInsecure: true };
    const encrypted = repositoryAt(t, service.url, { config });
    t.ok((await buffer((await encrypted.openBlob(DIGEST, unending())).body)).equals(BYTES));
    t.match(proxy.requests[0], { method: 'CONNECT', target: `127.0.0.1:${service.port}` });
    proxy.requests.length = 0;
    const plain = repositoryAt(t, service.url.replace('https:', 'http:'), { config });
    await plain.manifest('latest', unending());
    t.same(
        proxy.requests.map(({ target }) => target),
        ['/v2/', '/v2/a/b/manifests/latest'].map((path) => `http://127.0.0.1:${service.port}${path}`),
    );
});
