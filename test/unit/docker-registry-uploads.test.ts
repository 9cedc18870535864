import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { BlobUpload } from '#lib/remotes/docker-registry.js';
import {
    sendJson,
    type HttpService,
    type ServedRequest,
    type ServiceHandler,
} from '../doubles/http-service.js';
import { DockerRegistry, noDockerRegistry } from '../helpers/docker-registry.js';
import { serve } from '../helpers/outgoing.js';
import { failureOf, repositoryAt, unending } from '../helpers/registry-repositories.js';
import { eventually } from '../helpers/server-process.js';

const BYTES = Buffer.alloc(300_000, 'upload');
const DIGEST = `sha256:${createHash('sha256').update(BYTES).digest('hex')}`;
const UPLOADS = '/v2/a/b/blobs/uploads/';
const credentials = { username: 'u', password: 'p' };
const REFUSED = { errors: [{ code: 'DIGEST_INVALID', message: 'provided digest did not match' }] };

/** A blob, and how often it was opened. */
function blobOf(bytes = BYTES, more: Partial<BlobUpload> = {}): BlobUpload & { opened: number } {
    const blob = {
        digest: DIGEST,
        size: bytes.length,
        contentType: 'application/octet-stream',
        opened: 0,
        open: () => {
            blob.opened += 1;
            return Promise.resolve(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]));
        },
        ...more,
    };
    return blob;
}

/** A registry that asks for Basic, whatever else it does. */
async function serveBasic(t: Test, handle: ServiceHandler): Promise<HttpService> {
    return serve(t, (request, response) => {
        if (request.path === '/v2/') sendJson(response, 401, {}, { 'www-authenticate': 'Basic realm="r"' });
        else handle(request, response);
    });
}

function linesOf(requests: readonly ServedRequest[]): string[] {
    return requests.map(({ method, target }) => `${method} ${target}`);
}

void t.test('an upload', async (t) => {
    let location = '';
    const other = await serve(t, (_, response) => sendJson(response, 201, {}));
    const service = await serveBasic(t, ({ method }, response) => {
        if (method === 'POST') response.writeHead(202, { location }).end();
        else response.writeHead(201).end();
    });
    const repository = repositoryAt(t, service.url, { credentials, scope: 'push' });
    const put = async (to: string, blob = blobOf()): Promise<void> => {
        location = to;
        service.requests.length = 0;
        t.equal(await repository.putBlob(blob, unending()), 'uploaded', to);
    };
    const digest = encodeURIComponent(DIGEST);
    const sent: number[] = [];
    await put('/v2/up/1', blobOf(BYTES, { onSent: (bytes) => sent.push(bytes) }));
    t.same(linesOf(service.requests), ['GET /v2/', `POST ${UPLOADS}`, `PUT /v2/up/1?digest=${digest}`]);
    const [, begun, put1] = service.requests;
    t.match(begun, { body: '', headers: { 'content-length': '0' } });
    t.match(put1?.headers, {
        authorization: /^Basic /,
        'content-type': 'application/octet-stream',
        'content-length': '300000',
    });
    t.ok(put1?.body === BYTES.toString());
    t.same(sent, [1000, 300_000]);

    const state = '_state=a%20b%3D%2B~&x=1';
    for (const [to, target] of [
        [`${service.url}/v2/up/2?${state}`, `/v2/up/2?${state}&digest=${digest}`],
        [`3?${state}`, `${UPLOADS}3?${state}&digest=${digest}`],
        [`//user:password@127.0.0.1:${service.port}/4#x`, `/4?digest=${digest}`],
    ] as const) {
        await put(to);
        t.equal(linesOf(service.requests).at(-1), `PUT ${target}`);
        t.equal(service.requests.at(-1)?.headers.authorization, put1?.headers.authorization);
    }
    await put(`${other.url}/elsewhere`);
    t.match(linesOf(other.requests), [`PUT /elsewhere?digest=${digest}`]);
    t.notOk(other.requests[0]?.headers.authorization, 'other servers get no credentials');
    const empty = blobOf(Buffer.alloc(0));
    await put('/v2/up/5', empty);
    t.match(service.requests.at(-1), { method: 'PUT', body: '', headers: { 'content-length': '0' } });
});

void t.test('uploads that are refused', async (t) => {
    let answer: (...call: Parameters<ServiceHandler>) => void = () => undefined;
    const service = await serveBasic(t, (request, response) => {
        if (request.method === 'DELETE') response.writeHead(204).end();
        else answer(request, response);
    });
    const repository = repositoryAt(t, service.url, { credentials, scope: 'push' });
    const begin: ServiceHandler = (_, response) => response.writeHead(202, { location: '/up?s=1' }).end();
    const fails = async (
        handle: ServiceHandler,
        expected: object,
        requests: readonly string[],
        blob = blobOf(),
    ): Promise<void> => {
        answer = handle;
        await repository.ping(unending());
        service.requests.length = 0;
        const error = await failureOf(repository.putBlob(blob, unending()));
        t.match(error, expected);
        t.notMatch(error.message, /digest=|s=1/);
        t.same(
            service.requests.map(({ method }) => method),
            requests,
        );
    };
    const onPut =
        (handle: ServiceHandler): ServiceHandler =>
        (request, response) =>
            (request.method === 'POST' ? begin : handle)(request, response);
    await fails((_, response) => sendJson(response, 403, REFUSED), { status: 403, body: REFUSED }, ['POST']);
    await fails((_, response) => response.writeHead(201).end(), { kind: 'malformed' }, ['POST']);
    await fails((_, response) => response.writeHead(202).end(), { kind: 'malformed' }, ['POST']);
    await fails(
        (_, response) => response.writeHead(202, { location: 'file:///x' }).end(),
        { kind: 'malformed', message: /no usable location/ },
        ['POST'],
    );
    const cleaned = ['POST', 'PUT', 'DELETE'];
    await fails(
        onPut((_, response) => sendJson(response, 400, REFUSED)),
        { status: 400, body: REFUSED },
        cleaned,
    );
    t.match(service.requests[2], { target: '/up?s=1', headers: { authorization: /^Basic / } });
    await fails(
        onPut((_, response) => response.writeHead(202).end()),
        { kind: 'malformed' },
        cleaned,
    );
    await fails(
        onPut((_, response) => response.socket?.destroy()),
        { kind: 'connect' },
        ['POST', 'PUT'],
    );
    const broken = blobOf(BYTES, { open: () => Promise.reject(new Error('EIO')) });
    await fails(
        onPut((_, response) => response.writeHead(201).end()),
        { kind: 'unreadable' },
        ['POST', 'DELETE'],
        broken,
    );

    const given = new AbortController();
    answer = onPut(() => undefined);
    service.requests.length = 0;
    const given1 = failureOf(repository.putBlob(blobOf(), given));
    await eventually('the upload', 5000, () => service.requests.length === 2);
    given.abort();
    t.match(await given1, { kind: 'aborted' });
    t.same(
        service.requests.map(({ method }) => method),
        cleaned,
        'what is given up is taken back',
    );

    const impatient = repositoryAt(t, service.url, { credentials, timeouts: { headersMs: 60 } });
    t.match(await failureOf(impatient.putBlob(blobOf(), unending())), { kind: 'timeout' });
});

void t.test('mounts', async (t) => {
    const tokens = await serve(t, ({ query }, response) =>
        sendJson(response, 200, { token: query.getAll('scope').join('+') }),
    );
    let mount: [status: number, headers: Record<string, string>] = [201, {}];
    const service = await serve(t, ({ path, query, headers }, response) => {
        const challenge = { 'www-authenticate': `Bearer realm="${tokens.url}"` };
        if (headers.authorization === undefined) sendJson(response, 401, {}, challenge);
        else if (query.has('mount')) response.writeHead(...mount).end();
        else if (path === UPLOADS) response.writeHead(202, { location: '/own' }).end();
        else response.writeHead(201).end();
    });
    const repository = repositoryAt(t, service.url, { scope: 'push', credentials });
    const blob = blobOf(BYTES, { mountFrom: 'c/d' });
    t.equal(await repository.putBlob(blob, unending()), 'mounted');
    t.equal(blob.opened, 0);
    t.same(Object.fromEntries(service.requests[1]?.query ?? []), { mount: DIGEST, from: 'c/d' });
    const own = 'Bearer repository:a/b:pull,push';
    t.equal(service.requests[1]?.headers.authorization, `${own}+repository:c/d:pull`);
    t.match(service.requests[1], { body: '', headers: { 'content-length': '0' } });

    mount = [202, { location: '/offered' }];
    service.requests.length = 0;
    t.equal(await repository.putBlob(blob, unending()), 'uploaded');
    t.same(
        service.requests.map(({ path }) => path),
        [UPLOADS, '/offered'],
    );
    t.equal(service.requests[1]?.headers.authorization, own);
    for (const status of [400, 403, 404, 405]) {
        mount = [status, {}];
        service.requests.length = 0;
        t.equal(await repository.putBlob(blob, unending()), 'uploaded', String(status));
        t.same(
            service.requests.map(({ path }) => path),
            [UPLOADS, UPLOADS, '/own'],
        );
    }
    for (const status of [429, 500]) {
        mount = [status, {}];
        t.match(await failureOf(repository.putBlob(blob, unending())), { status });
    }
    t.equal(tokens.requests.length, 2, 'a token for each scope');
});

void t.test('uploads that move, and tokens that end', async (t) => {
    let serial = 0;
    const tokens = await serve(t, (_, response) => {
        serial += 1;
        sendJson(response, 200, { token: `t${serial}` });
    });
    const service = await serve(t, ({ path, method, headers }, response) => {
        const wanted = method === 'PUT' ? 'Bearer t2' : 'Bearer t1';
        const challenge = { 'www-authenticate': `Bearer realm="${tokens.url}"` };
        if (headers.authorization !== wanted) sendJson(response, 401, {}, challenge);
        else if (path === UPLOADS) response.writeHead(307, { location: '/moved' }).end();
        else if (method === 'POST') response.writeHead(202, { location: '/up' }).end();
        else if (path === '/up') response.writeHead(308, { location: '/up2' }).end();
        else response.writeHead(201, { 'docker-content-digest': 'sha256:d' }).end();
    });
    const repository = repositoryAt(t, service.url, { scope: 'push' });
    const blob = blobOf();
    t.equal(await repository.putBlob(blob, unending()), 'uploaded');
    t.same(
        service.requests.map(({ path, body }) => `${path} ${body.length}`),
        ['/v2/ 0', `${UPLOADS} 0`, '/moved 0', '/up 300000', '/up 300000', '/up2 300000'],
    );
    t.equal(blob.opened, 3, 'each time from the beginning');
    service.requests.length = 0;
    const manifest = Buffer.from('{"é": 1}');
    t.equal(await repository.putManifest('v1', manifest, 'application/x', unending()), 'sha256:d');
    t.match(service.requests[0], {
        method: 'PUT',
        path: '/v2/a/b/manifests/v1',
        body: '{"é": 1}',
        headers: { 'content-type': 'application/x', 'content-length': '9' },
    });
});

void t.test("Debian's registry", { skip: noDockerRegistry }, async (t) => {
    const registry = await DockerRegistry.start(t, { tokens: { users: { u: 'p' } } });
    const at = (name: string) => repositoryAt(t, registry.url, { credentials, scope: 'push', name });
    const [first, second] = [at('a/b'), at('c/d')];
    t.equal(await first.hasBlob(DIGEST, unending()), false);
    t.equal(await first.putBlob(blobOf(), unending()), 'uploaded');
    t.equal(await first.hasBlob(DIGEST, unending()), true);
    t.equal(await second.putBlob(blobOf(BYTES, { mountFrom: 'a/b' }), unending()), 'mounted');
    t.equal(await second.putBlob(blobOf(BYTES, { mountFrom: 'no/where' }), unending()), 'uploaded');
    const opened = await second.openBlob(DIGEST, { ...unending(), resume: { offset: 5, etag: DIGEST } });
    t.match(opened, { start: 5, size: BYTES.length });
    t.ok((await buffer(opened.body)).equals(BYTES.subarray(5)));
    const wrong = blobOf(Buffer.from('wrong'));
    t.match(await failureOf(first.putBlob(wrong, unending())), {
        status: 400,
        body: { errors: [{ code: 'DIGEST_INVALID' }] },
    });
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const part = { mediaType: 'application/octet-stream', digest: DIGEST, size: BYTES.length };
    const manifest = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: type, config: part, layers: [part] }),
    );
    const digest = await second.putManifest('v1', manifest, type, unending());
    t.equal(digest, `sha256:${createHash('sha256').update(manifest).digest('hex')}`);
    for (const reference of ['v1', String(digest)]) {
        const found = await second.manifest(reference, unending());
        t.ok(found.bytes.equals(manifest));
        t.match(found, { contentType: type, digest });
    }
    t.match(await failureOf(second.manifest('v2', unending())), {
        status: 404,
        body: { errors: [{ code: 'MANIFEST_UNKNOWN' }] },
    });
    const nobody = repositoryAt(t, registry.url, { name: 'c/d' });
    t.match(await failureOf(nobody.manifest('v1', unending())), { kind: 'status' });
    t.match(
        await failureOf(
            repositoryAt(t, registry.url, {
                credentials: { ...credentials, password: 'x' },
            }).manifest('v1', unending()),
        ),
        { status: 401, message: /^authorization server / },
    );
});
