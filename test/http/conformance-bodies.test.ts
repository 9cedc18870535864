// Request bodies (http-api 1.3), what is no HTTP, and what ended the existing server (http-api 4.1 D2).
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { FATHER, USERS, gzipFile, manifest, md5Base64 } from '../helpers/images.js';
import {
    expectError,
    invalidParameter,
    runErrorRows,
    validationFailed,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { server, client, guest } = await startServer(t, {}, [
    {
        uuid: FATHER,
        name: 'father',
        owner: USERS.vader,
        activated: true,
        published_at: '2012-01-01T00:00:00.000Z',
        file: gzipFile('father'),
    },
]);

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
