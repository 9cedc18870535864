import type { Route } from '#lib/http/route.js';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { Readable } from 'node:stream';
import { rawExchange, type Answer } from '../helpers/http-client.js';
import { eventually, row, startShell } from '../helpers/shell-server.js';

const LIMIT = 8_388_608;
const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

let prototypeOfLast: unknown;

const ROUTES: readonly Route[] = [
    row('POST', '/body', 'Body', async (x) => {
        const body = await x.readBody();
        if ((await x.readBody()) !== body) throw new Error('read twice');
        if (body.present) prototypeOfLast = Object.getPrototypeOf(Object(body.value));
        return { kind: 'json', value: body };
    }),
    row('POST', '/ignore', 'Ignore', () => ({ kind: 'json', value: 'ignored' })),
];

function md5(bytes: Buffer | string): string {
    return createHash('md5').update(bytes).digest('base64');
}

function errorOf(answer: Answer): unknown {
    return [answer.status, answer.error.code, answer.error.message];
}

function parserMessage(text: string): string {
    try {
        JSON.parse(text);
    } catch (error) {
        return (error as Error).message;
    }
    throw new Error('valid');
}

const { client, port, server } = await startShell(t, ROUTES);

async function post(body: Buffer | string | Readable, headers: Record<string, string> = {}): Promise<Answer> {
    return client.request('POST', '/body', { body, headers });
}

const ABSENT = { present: false };

await t.test('absent bodies', async (t) => {
    const bare = await rawExchange(port, 'POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    t.match(bare, /"present": false/, 'neither length nor chunks');
    const typed = { 'content-type': JSON_TYPE };
    t.strictSame((await post('', { ...typed, 'content-length': '0' })).json, ABSENT);
    t.strictSame((await post(Readable.from([]), typed)).json, ABSENT, 'chunked, but nothing in it');
    t.strictSame((await post('a', { 'content-type': 'image/png' })).json, ABSENT, 'another type');
    t.strictSame((await post('{}', { 'content-type': 'application/xml' })).json, ABSENT);
    for (const type of [undefined, 'application/octet-stream', 'text/plain']) {
        const headers = type === undefined ? {} : { 'content-type': type };
        t.strictSame((await post('hello', headers)).json, ABSENT, `${type}: no JSON`);
    }
});

await t.test('JSON', async (t) => {
    const value = { a: [1, 'caf\u00e9', null], b: { c: true } };
    const text = JSON.stringify(value);
    const present = { present: true, value };
    for (const type of [
        JSON_TYPE,
        'APPLICATION/JSON ; charset=utf-8',
        FORM_TYPE,
        'text/plain; charset=utf-8',
        'text/x-anything',
        'application/octet-stream',
    ]) {
        t.strictSame((await post(text, { 'content-type': type })).json, present, type);
        t.strictSame((await post(` \n${text}`, { 'content-type': type })).json, present, `${type}, indented`);
    }
    t.strictSame((await post(text)).json, present, 'no type');
    t.strictSame(
        (await post(Readable.from(text.split(/(?=[,:])/)), { 'content-type': JSON_TYPE })).json,
        present,
        'in chunks',
    );
    for (const scalar of ['null', '5', '"s"', 'true']) {
        const answer = await post(scalar, { 'content-type': JSON_TYPE });
        t.strictSame(answer.json, { present: true, value: JSON.parse(scalar) as unknown }, scalar);
    }
    for (const [type, wrong] of [
        [JSON_TYPE, 'nonsense'],
        [JSON_TYPE, '{"a":'],
        [JSON_TYPE, ' '],
        [FORM_TYPE, '{a=b}'],
        ['text/plain', '[1,'],
    ] as const) {
        const answer = await post(wrong, { 'content-type': type });
        t.strictSame(
            errorOf(answer),
            [400, 'InvalidContent', `Invalid JSON: ${parserMessage(wrong)}`],
            wrong,
        );
    }
});

await t.test('forms', async (t) => {
    const form = { 'content-type': FORM_TYPE };
    t.strictSame((await post('a=1&b=x+y%20z&c=', form)).document['value'], { a: '1', b: 'x y z', c: '' });
    t.strictSame((await post('a=1&a=2', form)).document['value'], { a: '2' });
    t.strictSame((await post('a[b]=1&tag.c=2', form)).document['value'], { 'a[b]': '1', 'tag.c': '2' });
});

await t.test('dangerous keys are data', async (t) => {
    for (const [body, type] of [
        ['{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}', JSON_TYPE],
        ['__proto__=polluted&constructor=x', FORM_TYPE],
    ] as const) {
        const answer = await post(body, { 'content-type': type });
        const value = answer.document['value'] as object;
        t.strictSame(Object.keys(value), ['__proto__', 'constructor']);
        t.equal(prototypeOfLast, Object.prototype);
        t.equal(({} as { polluted?: unknown }).polluted, undefined);
    }
});

await t.test('Content-MD5', async (t) => {
    const headers = { 'content-type': JSON_TYPE };
    t.equal((await post('{}', { ...headers, 'content-md5': md5('{}') })).status, 200);
    const wrong = await post('{}', { ...headers, 'content-md5': md5('x') });
    t.strictSame(errorOf(wrong), [400, 'BadDigest', `Content-MD5 '${md5('x')}' didn't match '${md5('{}')}'`]);
    const before = await post('nonsense', { ...headers, 'content-md5': md5('x') });
    t.equal(before.error.code, 'BadDigest', 'before the parser');
    const odd = await post('<a/>', { 'content-type': 'application/xml', 'content-md5': 'x' });
    t.equal(odd.error.code, 'BadDigest', 'whatever the type');
});

await t.test('gzip', async (t) => {
    const headers = { 'content-type': JSON_TYPE, 'content-encoding': 'gzip' };
    const packed = gzipSync('{"a":1}');
    t.strictSame((await post(packed, headers)).document['value'], { a: 1 });
    t.strictSame((await post(packed, { ...headers, 'content-md5': md5(packed) })).document['value'], {
        a: 1,
    });
    t.equal(
        (await post(packed, { ...headers, 'content-md5': md5('{"a":1}') })).error.code,
        'BadDigest',
        'as received',
    );
    for (const corrupt of [Buffer.from('no gzip'), packed.subarray(0, 12)]) {
        const answer = await post(corrupt, { ...headers, 'content-md5': 'wrong too' });
        t.strictSame(errorOf(answer), [400, 'InvalidContent', 'Invalid gzip content']);
    }
    const bomb = gzipSync(Buffer.alloc(40_000_000, ' '));
    t.ok(bomb.length < 1_000_000);
    t.strictSame(errorOf(await post(bomb, headers)), [
        413,
        'PayloadTooLargeError',
        'Request body size exceeds 8388608',
    ]);
    t.strictSame((await post('{"a":2}', { ...headers, 'content-encoding': 'identity' })).document['value'], {
        a: 2,
    });
});

await t.test('the limit', async (t) => {
    const headers = { 'content-type': JSON_TYPE };
    const full = `"${'x'.repeat(LIMIT - 2)}"`;
    t.equal((await post(full, headers)).status, 200, 'exactly 8 MiB');
    const refusal = [413, 'PayloadTooLargeError', 'Request body size exceeds 8388608'];
    t.strictSame(errorOf(await post(`${full} `, headers)), refusal, 'one byte more, announced');
    const pieces = Array.from({ length: 129 }, () => Buffer.alloc(65_536, ' '));
    t.strictSame(errorOf(await post(Readable.from(pieces), headers)), refusal, 'and not announced');
    const packed = gzipSync(full);
    t.equal(
        (await post(packed, { ...headers, 'content-encoding': 'gzip' })).status,
        200,
        'exactly 8 MiB, packed',
    );
    const over = gzipSync(`${full} `);
    t.equal((await post(over, { ...headers, 'content-encoding': 'gzip' })).status, 413);
});

await t.test('superfluous bodies', async (t) => {
    for (const body of ['{}', 'nonsense', 'x'.repeat(300_000)]) {
        const answer = await client.request('POST', '/ignore', {
            body,
            headers: { 'content-type': JSON_TYPE },
        });
        t.equal(answer.json, 'ignored');
    }
    t.strictSame((await post('[1]')).document['value'], [1], 'the connection goes on');
});

await t.test('a client that goes away in the middle', async (t) => {
    const open = client.open('POST', '/body', {
        headers: { 'content-type': JSON_TYPE, 'content-length': '100' },
    });
    open.request.write('{');
    await eventually(() => server.inFlight().length === 1);
    open.request.on('error', () => undefined).destroy();
    await eventually(() => server.inFlight().length === 0);
    t.equal((await post('[]')).status, 200);
});

await t.test('any JSON comes through', async (t) => {
    await fc.assert(
        fc.asyncProperty(fc.jsonValue(), fc.boolean(), async (value, packed) => {
            const text = JSON.stringify(value);
            const answer = await post(packed ? gzipSync(text) : text, {
                'content-type': JSON_TYPE,
                'content-md5': md5(packed ? gzipSync(text) : text),
                ...(packed ? { 'content-encoding': 'gzip' } : {}),
            });
            return JSON.stringify(answer.document['value']) === text;
        }),
        { numRuns: 60 },
    );
    t.pass();
});
