import { once } from 'node:events';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { answers, bigParts, CLOSE, fake, ROUTES, UUID } from '../helpers/shell-routes.js';
import { eventually, HOST_NAME, startShell } from '../helpers/shell-server.js';

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

    fake.channels = false;
    t.strictSame((await client.get('/channels')).json, {
        code: 'ResourceNotFound',
        message: '/channels does not exist',
    });
    t.equal((await client.post('/channels')).status, 404, 'unmounted: not 405');
    fake.channels = true;
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
