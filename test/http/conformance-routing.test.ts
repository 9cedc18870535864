// Routing, headers on every answer, HEAD, OPTIONS, API versions (http-api 1.1, 1.5, 1.8, 1.9).
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { rawExchange, type Answer } from '../helpers/http-client.js';
import { FATHER, PNG, UNKNOWN, USERS, gzipFile } from '../helpers/images.js';
import { expectError, notFound, runErrorRows, type ErrorRow, type ExpectedError } from '../helpers/rows.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const VERSION = (JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const { server, guest } = await startServer(t, {}, [
    {
        uuid: FATHER,
        name: 'father',
        owner: USERS.vader,
        activated: true,
        published_at: '2012-01-01T00:00:00.000Z',
        file: gzipFile('father'),
        icon: PNG,
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
    ['/ui', 'GET, HEAD'],
    ['/ui/', 'GET, HEAD'],
    [`/ui/images/${FATHER}`, 'GET, HEAD'],
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

await t.test('HEAD answers as GET does, without a body', async (test) => {
    const paths = [
        '/ping',
        '/ping?error=ValidationFailed',
        '/images',
        '/images?limit=x',
        `/images/${FATHER}`,
        `/images/${UNKNOWN}`,
        `/images/${FATHER}/file`,
        `/images/${FATHER}/file?index=2`,
        `/images/${FATHER}/icon`,
        '/datasets',
        '/docs',
        '/nothing-here',
    ];
    for (const path of paths) {
        const [full, head] = await Promise.all([guest.get(path), guest.request('HEAD', path)]);
        const headers = (answer: typeof full): (string | undefined)[] =>
            [
                'server',
                'content-type',
                'content-length',
                'etag',
                'last-modified',
                'content-md5',
                'location',
                'allow',
            ].map((name) => answer.header(name));
        test.strictSame([head.status, ...headers(head)], [full.status, ...headers(full)], path);
        test.equal(head.body.length, 0, 'no body');
    }
});
