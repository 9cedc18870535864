// The endpoints that are not about images (http-api 3.23-3.26, operations 1.5-1.7).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_CATALOGUE, type ErrorFacts } from '#lib/base/error-catalogue.js';
import { rawExchange } from '../helpers/http-client.js';
import { FATHER, USERS, gzipFile, md5Base64 } from '../helpers/images.js';
import {
    expectError,
    invalidParameter,
    repeated,
    runErrorRows,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { PROJECT_ROOT } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const VERSION = (JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string })
    .version;

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

const row = (
    method: string,
    path: string,
    expected: ExpectedError,
    rest: Partial<ErrorRow> = {},
): ErrorRow => ({ name: `${method} ${path}`, method, path, ...expected, ...rest });

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
    ['/ui', 'ui/'],
    ['/ui?account=x&b=%20', 'ui/?account=x&b=%20'],
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
