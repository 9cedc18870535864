// Routing, headers, versions, bodies, and the endpoints that are not about images (http-api 1, 3.22-3.26).
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { connect } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { ERROR_CATALOGUE, type ErrorFacts } from '#lib/base/error-catalogue.js';
import { rawExchange, type Answer } from '../helpers/http-client.js';
import { FATHER, UNKNOWN, USERS, gzipFile, manifest, md5Base64 } from '../helpers/images.js';
import {
    expectError,
    invalidParameter,
    notFound,
    repeated,
    runErrorRows,
    validationFailed,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const VERSION = (JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const { server, client, guest, key } = await startServer(t, {}, [
    {
        uuid: FATHER,
        name: 'father',
        owner: USERS.vader,
        activated: true,
        published_at: '2012-01-01T00:00:00.000Z',
        file: gzipFile('father'),
    },
]);

function expectStandardHeaders(test: Test, answer: Answer, name: string): void {
    test.equal(answer.values('date').length, 1, `${name}: one Date`);
    test.equal(answer.header('server'), `IMGAPI/${VERSION}`, `${name}: Server`);
    test.match(answer.header('x-request-id'), UUID, `${name}: x-request-id`);
    test.match(answer.header('x-response-time'), /^\d+$/, `${name}: x-response-time`);
    test.equal(answer.header('x-server-name'), hostname(), `${name}: x-server-name`);
    test.equal(answer.header('connection'), 'keep-alive', `${name}: Connection`);
}

await t.test('headers on every answer', async (test) => {
    const answers: Record<string, Answer> = {
        ping: await guest.get('/ping'),
        list: await guest.get('/images'),
        'unknown path': await guest.get('/nope'),
        'wrong method': await guest.request('DELETE', '/ping'),
        version: await guest.get('/ping', { headers: { 'accept-version': '~99' } }),
        'no signature': await guest.post('/images', {}),
        redirect: await guest.get('/docs'),
        file: await guest.get(`/images/${FATHER}/file`),
        error: await guest.get(`/images/${UNKNOWN}`),
    };
    for (const [name, answer] of Object.entries(answers)) expectStandardHeaders(test, answer, name);
    const closing = await guest.get('/ping', { headers: { connection: 'close' } });
    test.equal(closing.header('connection'), 'close', 'as the client asked');
});

await t.test('request ids', async (test) => {
    const id = async (headers: Record<string, string>): Promise<string | undefined> =>
        (await guest.get('/ping', { headers })).header('x-request-id');
    const longest = 'x'.repeat(128);
    test.equal(await id({ 'x-request-id': 'abc~!' }), 'abc~!');
    test.equal(await id({ 'request-id': 'first', 'x-request-id': 'second' }), 'first');
    test.equal(await id({ 'x-request-id': longest }), longest);
    test.match(await id({ 'x-request-id': `${longest}x` }), UUID, 'too long');
    test.match(await id({ 'x-request-id': 'a b' }), UUID, 'a space');
    test.match(await id({ 'x-request-id': 'caf\u00e9' }), UUID, 'not ASCII');
    const error = await guest.get('/nope', { headers: { 'x-request-id': 'mine' } });
    test.equal(error.header('x-request-id'), 'mine', 'on errors too');
});

const row = (
    method: string,
    path: string,
    expected: ExpectedError,
    rest: Partial<ErrorRow> = {},
): ErrorRow => ({ name: `${method} ${path}`, method, path, ...expected, ...rest });
const badUrl: ExpectedError = { status: 400, code: 'BadRequestError', message: 'URI malformed' };
const refused = (method: string): ExpectedError => ({
    status: 405,
    code: 'MethodNotAllowedError',
    message: `${method} is not allowed`,
});

await t.test('routing errors', (test) =>
    runErrorRows(test, guest, [
        row('GET', '/nope', notFound('/nope does not exist')),
        row('GET', '/nope?a=b', notFound('/nope does not exist')),
        row('POST', '/nope', notFound('/nope does not exist')),
        row('GET', '/Images', notFound('/Images does not exist')),
        row('GET', '/%70ing', notFound('/%70ing does not exist')),
        row('GET', '/ping/', notFound('/ping/ does not exist')),
        row('GET', `/images/${FATHER}/`, notFound(`/images/${FATHER}/ does not exist`)),
        row('GET', `/images/${FATHER}/file/`, notFound(`/images/${FATHER}/file/ does not exist`)),
        row('GET', '/channels', notFound('/channels does not exist')),
        row('POST', `/images/${FATHER}/clone`, notFound(`/images/${FATHER}/clone does not exist`)),
        row('GET', '/images/%zz', badUrl),
        row('GET', '/images/%zz/file', badUrl),
        row('GET', '/docs/%E0%A4%A', badUrl),
        row('GET', '/nope', notFound('/nope does not exist'), { headers: { 'accept-version': '~99' } }),
        row('PUT', '/images', refused('PUT'), { headers: { 'accept-version': '~99' } }),
    ]),
);

const ALLOWED: readonly (readonly [path: string, allow: string])[] = [
    ['/images', 'GET, HEAD, POST'],
    [`/images/${FATHER}`, 'GET, HEAD, POST, DELETE'],
    [`/images/${FATHER}/file`, 'PUT, GET, HEAD'],
    [`/images/${FATHER}/icon`, 'PUT, GET, HEAD, DELETE'],
    [`/images/${FATHER}/acl`, 'POST'],
    ['/ping', 'GET, HEAD'],
    ['/state', 'GET, HEAD, POST'],
    ['/authkeys/reload', 'POST'],
    ['/datasets', 'GET, HEAD'],
    ['/datasets/x', 'GET, HEAD'],
    ['/', 'GET, HEAD'],
    ['/docs', 'GET, HEAD'],
    ['/docs/index.html', 'GET, HEAD'],
    ['/favicon.ico', 'GET, HEAD'],
];

await t.test('methods and OPTIONS', async (test) => {
    for (const [path, allow] of ALLOWED) {
        for (const method of ['PATCH', 'OPTIONS']) {
            const answer = await guest.request(method, path);
            expectError(test, answer, refused(method), `${method} ${path}`);
            test.equal(answer.header('allow'), allow, `${method} ${path}: Allow`);
        }
        const asked = allow.split(', ').at(-1) ?? '';
        const headers = { origin: 'http://example.com', 'access-control-request-method': asked };
        const preflight = await guest.request('OPTIONS', path, { headers });
        const names = ['allow', 'access-control-allow-origin', 'access-control-allow-methods'];
        test.strictSame(
            [preflight.status, preflight.text, ...names.map((name) => preflight.header(name))],
            [200, '', allow, '*', allow],
            `preflight ${path}`,
        );
        test.equal(
            preflight.header('access-control-allow-headers'),
            'accept, accept-version, content-type, request-id, origin, x-api-version, x-request-id',
        );
        test.equal(preflight.header('access-control-max-age'), '3600');
        const other = { ...headers, 'access-control-request-method': 'PATCH' };
        const refusal = await guest.request('OPTIONS', path, { headers: other });
        test.equal(refusal.status, 405, 'a preflight for a method that is not there');
    }
    const star = await rawExchange(server.port, 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    test.match(star, /^HTTP\/1\.1 200 /, 'OPTIONS *');
    const unknown = await guest.request('OPTIONS', '/nope');
    expectError(test, unknown, notFound('/nope does not exist'), 'OPTIONS on an unknown path');
});

await t.test('API versions', async (test) => {
    for (const range of ['~1', '1', '1.0.0', '~2', '2', '2.0.0', '~2.1', '*', '>=1', '~1 || ~2', '', 'x']) {
        const answer = await guest.get('/ping', { headers: { 'accept-version': range } });
        test.equal(answer.status, 200, JSON.stringify(range));
    }
    for (const range of ['~99', '3', '0.9', 'foo', '~1.5', '<1', '{}']) {
        for (const path of ['/ping', '/images', `/images/${UNKNOWN}`, '/docs/', '/datasets']) {
            const answer = await guest.get(path, { headers: { 'accept-version': range } });
            const message = `${range} is not supported by GET ${path}`;
            expectError(test, answer, { status: 400, code: 'InvalidVersion', message }, message);
        }
    }
    const query = await guest.get('/images?limit=x&a=b', { headers: { 'accept-version': '~99' } });
    const message = '~99 is not supported by GET /images';
    expectError(
        test,
        query,
        { status: 400, code: 'InvalidVersion', message },
        'before the query; without it',
    );
    const others = { 'api-version': '~99', 'x-api-version': '~99' };
    test.equal((await guest.get('/ping', { headers: others })).status, 200, 'other headers are ignored');
});

await t.test('ping', async (test) => {
    const plain = await guest.get('/ping');
    test.equal(plain.text, JSON.stringify({ ping: 'pong', version: VERSION, imgapi: true }, null, 2));
    test.equal(plain.header('content-type'), 'application/json');
    const signed = await client.get('/ping?caller=test');
    const body = { ping: 'pong', version: VERSION, imgapi: true, pid: server.pid, user: key.user };
    test.equal(signed.text, JSON.stringify(body, null, 2), 'with a signature');
    for (const query of ['role=writer', 'role=jobs', 'role=', 'role=other']) {
        test.equal((await guest.get(`/ping?${query}`)).status, 200, query);
    }
    for (const accept of ['text/plain', 'application/octet-stream', 'image/*', 'nonsense']) {
        const answer = await guest.get('/ping', { headers: { accept } });
        test.strictSame([answer.status, answer.text], [200, plain.text], `Accept: ${accept}`);
        const error = await guest.get('/images?limit=x', { headers: { accept } });
        test.equal(error.error.code, 'InvalidParameter', 'errors too');
    }
});

const SAMPLE = '82ce32a2-9cb4-9a4c-a303-7a63254bacf4';
const OTHER_SAMPLE = 'ed8cd007-2065-0140-8d41-e32247b71748';
const FIXED: Readonly<Record<string, string>> = {
    ImageFilesImmutable: `cannot modify files on activated image ${SAMPLE}`,
    ImageAlreadyActivated: `image "${OTHER_SAMPLE}" is already activated`,
    NoActivationNoFile: `image "${OTHER_SAMPLE}" cannot be activated: it has no file`,
    ImageUuidAlreadyExists: `image uuid "${OTHER_SAMPLE}" already exists`,
    OperatorOnly: 'this endpoint may only be called by an operator',
    StorageIsDown: 'storage is down at the moment',
    StorageUnsupported: 'storage type is unsupported',
};

await t.test('ping gives a sample of every error', async (test) => {
    const rows = Object.entries(ERROR_CATALOGUE as Readonly<Record<string, ErrorFacts>>);
    const classes = rows.filter(([, facts]) => facts.className !== undefined);
    test.equal(classes.length, 30, 'the classes of http-api 3.23');
    for (const [code, facts] of classes) {
        const name = facts.className ?? '';
        const expected: ExpectedError =
            code === 'InvalidParameter'
                ? invalidParameter('invalid "foo"', ['foo', 'Invalid'])
                : {
                      status: facts.status,
                      code,
                      message: FIXED[code] ?? 'boom',
                      ...(code === 'ValidationFailed' ? { errors: [] } : {}),
                  };
        for (const error of [name, name.replace(/Error$/, '')]) {
            expectError(test, await guest.get(`/ping?error=${error}`), expected, error);
        }
        if (FIXED[code] !== undefined || code === 'InvalidParameter') continue;
        const other = await guest.get(`/ping?error=${name}&message=my%20text`);
        test.equal(other.error.message, 'my text', `${name} with a message of the caller`);
    }
    const internal: ExpectedError = { status: 500, code: 'InternalError', message: 'boom' };
    expectError(test, await guest.get('/ping?error='), internal, 'empty');
    for (const name of ['Nope', 'constructor', 'toString', 'MethodNotAllowed']) {
        const expected = invalidParameter(`unknown error: ${name}Error`, ['error', 'Missing']);
        expectError(test, await guest.get(`/ping?error=${name}`), expected, name);
    }
    expectError(test, await guest.get('/ping?error=a&error=b'), repeated('error'), 'twice');
});

await t.test('state, key reload, health', async (test) => {
    const state = (await client.get('/state')).document;
    test.type(state['cache'], 'object');
    test.strictSame([state['log'], state['storageTypes']], [{ level: 30 }, ['local']]);
    const database = state['db'] as { manifestFromUuid: Record<string, unknown> };
    test.strictSame(Object.keys(database.manifestFromUuid), [FATHER], 'the images in memory');
    test.notOk(JSON.stringify(state).includes('PRIVATE KEY'), 'no secrets');
    test.equal((await client.get('/state?db=false')).document['db'], undefined);
    test.equal((await client.get('/state?db=x')).status, 422);
    const dropped = await client.post('/state?action=dropcaches', {});
    test.strictSame([dropped.status, dropped.text], [202, '']);
    await runErrorRows(test, client, [
        row('POST', '/state?action=foo', {
            status: 409,
            code: 'InvalidArgument',
            message: '"foo" is not a valid action',
        }),
        row('POST', '/state', { status: 409, code: 'MissingParameter', message: '"action" is required' }),
        row('POST', '/state?action=loglevel&level=loud', {
            status: 409,
            code: 'InvalidArgument',
            message: 'invalid level: "loud"',
        }),
    ]);
    test.equal((await client.post('/state?action=loglevel&level=warn')).status, 202);
    test.strictSame(
        (await client.get('/state?db=false')).document['log'],
        { level: 40 },
        'the level changed',
    );
    test.equal((await client.post('/state?action=loglevel&level=30')).status, 202);
    for (const path of ['/authkeys/reload', '/authkeys/reload?wait=true']) {
        const reload = await client.post(path, {});
        test.strictSame([reload.status, reload.text], [200, '{}'], path);
    }
    const health = await guest.get('/health');
    test.strictSame([health.status, health.json], [200, { status: 'ok' }], 'health without details');
    const details = (await client.get('/health')).document;
    test.ok((details['checks'] as Record<string, unknown>)['database'], 'details for who signs');
});

const REDIRECTS: readonly (readonly [path: string, location: string])[] = [
    ['/', '/docs/'],
    ['/docs', '/docs/'],
    ['/datasets', '/images'],
    [`/datasets/${FATHER}`, `/images/${FATHER}`],
    ['/datasets/a:b', '/images?name=a&version=b'],
    ['/datasets/a:b:c', '/images?name=c'],
    ['/datasets/a:b:c:d', '/images?name=c&version=d'],
    ['/datasets/other', '/images?name=other'],
    ['/datasets/a%20b', '/images?name=a%20b'],
    ['/datasets/a%26b:c%3Dd', '/images?name=a%26b&version=c%3Dd'],
];

await t.test('redirects, docs and favicon', async (test) => {
    for (const [path, location] of REDIRECTS) {
        const answer = await guest.get(path);
        test.strictSame(
            [answer.status, answer.header('location'), answer.header('content-length'), answer.text],
            [301, location, '0', ''],
            path,
        );
        test.equal(answer.values('date').length, 1, 'one Date');
    }
    test.equal((await guest.get('/docs/no-such-page.html')).error.code, 'ResourceNotFound');
    const escape = await rawExchange(
        server.port,
        'GET /docs/..%2f..%2fpackage.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    test.match(escape, /^HTTP\/1\.1 403 /);
    test.match(escape, /"NotAuthorized"/);
    const dots = await rawExchange(
        server.port,
        'GET /docs/../../package.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    test.match(dots, /^HTTP\/1\.1 40[34] /, 'dots as they are');
    const icon = await guest.get('/favicon.ico');
    if (icon.status === 200) {
        test.equal(icon.header('etag'), `"${md5Base64(icon.body)}"`);
        test.equal(icon.header('content-type'), 'image/x-icon');
        test.equal(icon.header('cache-control'), 'public, max-age=86400');
    } else test.equal(icon.error.code, 'ResourceNotFound', 'no favicon in this build');
});

const create = { method: 'POST', path: '/images' } as const;
const invalidJson = (text: string): string => {
    try {
        JSON.parse(text);
    } catch (error) {
        return (error as Error).message;
    }
    throw new Error('valid after all');
};
const missingBody = validationFailed('missing request body', ['body', 'MissingParameter']);
const notObject = validationFailed('invalid request body: not a JSON object', ['body', 'Invalid']);
const content = (message: string): ExpectedError => ({ status: 400, code: 'InvalidContent', message });
const tooBig: ExpectedError = {
    status: 413,
    code: 'PayloadTooLargeError',
    message: 'Request body size exceeds 8388608',
};
const TYPE_JSON = { 'content-type': 'application/json' };
const TYPE_FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const broken = '{"name": ';

await t.test('bodies that are refused', (test) =>
    runErrorRows(test, client, [
        { name: 'no body', ...create, ...missingBody },
        { name: 'empty body', ...create, body: '', headers: TYPE_JSON, ...missingBody },
        { name: 'null', ...create, body: 'null', headers: TYPE_JSON, ...notObject },
        { name: 'array', ...create, json: [manifest()], ...notObject },
        { name: 'scalar', ...create, body: '"x"', headers: TYPE_JSON, ...notObject },
        {
            name: 'broken JSON',
            ...create,
            body: broken,
            headers: TYPE_JSON,
            ...content(`Invalid JSON: ${invalidJson(broken)}`),
        },
        {
            name: 'broken JSON as a form',
            ...create,
            body: broken,
            headers: TYPE_FORM,
            ...content(`Invalid JSON: ${invalidJson(broken)}`),
        },
        {
            name: 'another type',
            ...create,
            body: JSON.stringify(manifest()),
            headers: { 'content-type': 'image/png' },
            ...missingBody,
        },
        { name: 'text', ...create, body: 'hello', headers: { 'content-type': 'text/plain' }, ...missingBody },
        {
            name: 'corrupt gzip',
            ...create,
            body: 'this is not gzip',
            headers: { ...TYPE_JSON, 'content-encoding': 'gzip' },
            ...content('Invalid gzip content'),
        },
        {
            name: 'truncated gzip',
            ...create,
            body: gzipSync(JSON.stringify(manifest())).subarray(0, 30),
            headers: { ...TYPE_JSON, 'content-encoding': 'gzip' },
            ...content('Invalid gzip content'),
        },
        {
            name: 'wrong digest',
            ...create,
            body: '{}',
            headers: { ...TYPE_JSON, 'content-md5': 'AAAA' },
            status: 400,
            code: 'BadDigest',
            message: `Content-MD5 'AAAA' didn't match '${md5Base64('{}')}'`,
        },
        {
            name: 'too big after decompression',
            ...create,
            body: gzipSync(Buffer.alloc(9_000_000, ' ')),
            headers: { ...TYPE_JSON, 'content-encoding': 'gzip' },
            ...tooBig,
        },
        { name: 'too big', ...create, body: Buffer.alloc(8_388_609, ' '), headers: TYPE_JSON, ...tooBig },
        {
            name: 'a form',
            ...create,
            body: 'name=a&name2=b&v=2',
            headers: TYPE_FORM,
            ...invalidParameter('invalid extra parameters: "name2"', ['name2', 'Invalid']),
        },
        {
            name: 'fields named like properties of every object',
            ...create,
            body: `{"__proto__": {"v": 2}, "constructor": 1, "name": "x"}`,
            headers: TYPE_JSON,
            ...invalidParameter(
                'invalid extra parameters: "__proto__", "constructor"',
                ['__proto__', 'Invalid'],
                ['constructor', 'Invalid'],
            ),
        },
    ]),
);

await t.test('bodies that are taken', async (test) => {
    const text = JSON.stringify(manifest());
    const zipped = gzipSync(text);
    const bodies: readonly (readonly [
        name: string,
        body: string | Buffer,
        headers: Record<string, string>,
    ])[] = [
        ['charset', text, { 'content-type': 'Application/JSON; charset=utf-8' }],
        ['form', `  ${text}`, TYPE_FORM],
        ['octets', text, { 'content-type': 'application/octet-stream' }],
        ['text', text, { 'content-type': 'text/x-anything' }],
        ['no type', text, {}],
        ['gzip', zipped, { ...TYPE_JSON, 'content-encoding': 'gzip' }],
        ['digest', text, { ...TYPE_JSON, 'content-md5': md5Base64(text) }],
        [
            'digest of what was sent',
            zipped,
            { ...TYPE_JSON, 'content-encoding': 'gzip', 'content-md5': md5Base64(zipped) },
        ],
        ['chunks', text, { ...TYPE_JSON, 'transfer-encoding': 'chunked' }],
        ['almost too big', text.padEnd(8_388_608, ' '), TYPE_JSON],
    ];
    for (const [name, body, headers] of bodies) {
        const answer = await client.post('/images', undefined, { body, headers });
        test.equal(answer.status, 200, `${name}: ${answer.text.slice(0, 200)}`);
    }
});

await t.test('what ended the existing server, and what is no HTTP', async (test) => {
    const attacks = [
        'GET /ping HTTP/1.1\r\nHost: [\r\nConnection: close\r\n\r\n',
        'GET /ping HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n',
        'GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n',
        'GET http://[/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
        'GET //[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
        'GET /images?%zz=%E0%A4%A&account=%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
        'GET /\u0001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
        `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        'POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
        'POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        'POST /images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n',
        'PUT /images/x/file HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
        'CONNECT example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n',
        'GET /ping HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n',
        '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003 this is a TLS greeting, nearly\r\n\r\n',
        'nonsense\r\n\r\n',
    ];
    for (const bytes of attacks) {
        await rawExchange(server.port, Buffer.from(bytes, 'latin1')).catch(() => '');
        test.equal(
            (await guest.get('/ping')).status,
            200,
            `alive after ${JSON.stringify(bytes.slice(0, 60))}`,
        );
    }
    for (let i = 0; i < 20; i++)
        connect(server.port, '127.0.0.1')
            .on('error', () => undefined)
            .resetAndDestroy();
    test.equal((await guest.get('/ping')).status, 200, 'alive after connections that are reset');
    test.ok(server.alive);
});

await t.test('requests that ended the existing server have an answer', async (test) => {
    const id = await client.post('/images', manifest(), { headers: { 'x-request-id': '../../etc/passwd' } });
    const uuid = String(id.document['uuid']);
    const upload = await client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('x'), {
        headers: { 'x-request-id': '../../../tmp/x' },
    });
    test.equal(upload.status, 200, 'an upload with a strange request id');
    const rows: readonly (readonly [
        method: string,
        path: string,
        json: unknown,
        status: number,
        code: string,
    ])[] = [
        ['GET', '/images?public=foo', undefined, 422, 'InvalidParameter'],
        ['GET', '/images?billing_tag=a&billing_tag=b', undefined, 200, ''],
        ['POST', '/images', undefined, 422, 'ValidationFailed'],
        ['POST', '/images', null, 422, 'ValidationFailed'],
        ['POST', '/images', 5, 422, 'ValidationFailed'],
        ['POST', '/images', manifest({ owner: undefined }), 422, 'ValidationFailed'],
        ['POST', '/images', manifest({ owner: 'me' }), 422, 'ValidationFailed'],
        ['POST', '/images', manifest({ owner: null }), 422, 'ValidationFailed'],
        ['POST', '/images', manifest({ tags: 'x' }), 422, 'ValidationFailed'],
        ['POST', '/images?action=nope', {}, 422, 'InvalidParameter'],
        ['POST', `/images/${uuid}?action=update`, { files: [] }, 422, 'ValidationFailed'],
        ['POST', `/images/${uuid}?action=update`, { files: [null] }, 422, 'ValidationFailed'],
        ['POST', `/images/${uuid}?action=update`, null, 422, 'ValidationFailed'],
        ['DELETE', `/images/${uuid}/icon`, undefined, 404, 'ResourceNotFound'],
        ['POST', `/images/${FATHER}?action=change-stor&stor=local`, undefined, 200, ''],
    ];
    for (const [method, path, json, status, code] of rows) {
        const answer = await client.request(method, path, json === undefined ? {} : { json });
        test.equal(
            answer.status,
            status,
            `${method} ${path} ${JSON.stringify(json)}: ${answer.text.slice(0, 200)}`,
        );
        if (code !== '') test.equal(answer.error.code, code);
    }
    for (const keyId of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
        const authorization = `Signature keyId="${keyId}",algorithm="rsa-sha256",signature="AAAA"`;
        const answer = await guest.get('/ping', {
            headers: { authorization, date: new Date().toUTCString() },
        });
        expectError(
            test,
            answer,
            { status: 401, code: 'UnauthorizedError', message: 'Unauthorized' },
            `keyId ${keyId}`,
        );
    }
    test.equal((await guest.get('/images?channel=constructor')).status, 200, 'channels are ignored here');
    test.ok(server.alive);
});
