import { ApiError } from '#lib/base/errors.js';
import { checkPreconditions, httpDate } from '#lib/http/conditions.js';
import { requestedRange } from '#lib/http/ranges.js';
import type { DownloadReply } from '#lib/http/reply.js';
import type { Route } from '#lib/http/route.js';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { type ReadStream, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { eventually, row, startShell } from '../helpers/shell-server.js';

const TAG = 'da39a3ee5e6b4b0d3255bfef95601890afd80709';
const MODIFIED = Date.parse('2021-03-04T05:06:07.890Z');
const DATE = 'Thu, 04 Mar 2021 05:06:07 GMT';
const EARLIER = 'Thu, 04 Mar 2021 05:06:06 GMT';
const LATER = 'Thu, 04 Mar 2021 05:06:08 GMT';

type Headers = Readonly<Record<string, string>>;

function judge(headers: Headers, method = 'GET', lastModified: number | undefined = MODIFIED): string {
    try {
        const entity = { etag: TAG, ...(lastModified === undefined ? {} : { lastModified }) };
        return checkPreconditions(headers, entity, method);
    } catch (error) {
        if (error instanceof ApiError) return `${error.status} ${error.message}`;
        throw error;
    }
}

await t.test('preconditions', async (t) => {
    const none = `412 if-match '%' didn't match etag '${TAG}'`;
    const some = `412 if-none-match '%' matched etag '${TAG}'`;
    const moved = `412 object was modified at '${DATE}'; if-unmodified-since '%'`;
    const table: readonly (readonly [string, Headers, string, string?])[] = [
        ['nothing asked', {}, 'proceed'],
        ['bare', { 'if-match': TAG }, 'proceed'],
        ['quoted', { 'if-match': `"${TAG}"` }, 'proceed'],
        ['weak', { 'if-match': `W/"${TAG}"` }, 'proceed'],
        ['any', { 'if-match': '*' }, 'proceed'],
        ['listed', { 'if-match': `a, "b" ,W/"c","d,e",${TAG}` }, 'proceed'],
        ['not listed', { 'if-match': 'a, "b"' }, none],
        ['part of it', { 'if-match': TAG.slice(1) }, none],
        ['empty', { 'if-match': '' }, none],
        ['other case', { 'if-match': TAG.toUpperCase() }, none],
        ['on a write', { 'if-match': 'x' }, none, 'POST'],
        ['none matches', { 'if-none-match': 'x, "y"' }, 'proceed'],
        ['GET', { 'if-none-match': TAG }, 'not-modified'],
        ['HEAD', { 'if-none-match': `x, W/"${TAG}"` }, 'not-modified', 'HEAD'],
        ['any', { 'if-none-match': '*' }, 'not-modified'],
        ['write', { 'if-none-match': `"${TAG}"` }, some, 'POST'],
        ['write, any', { 'if-none-match': '*' }, some, 'POST'],
        ['If-Match first', { 'if-match': 'x', 'if-none-match': TAG }, none],
        ['same second', { 'if-modified-since': DATE }, 'not-modified'],
        ['older copy', { 'if-modified-since': EARLIER }, 'proceed'],
        ['newer copy', { 'if-modified-since': LATER }, 'not-modified', 'HEAD'],
        ['old form of date', { 'if-modified-since': 'Thursday, 04-Mar-21 05:06:07 GMT' }, 'not-modified'],
        ['no date', { 'if-modified-since': 'yesterday' }, 'proceed'],
        ['a number', { 'if-modified-since': '2099' }, 'proceed'],
        ['not for writes', { 'if-modified-since': LATER }, 'proceed', 'POST'],
        ['tag decides', { 'if-none-match': 'x', 'if-modified-since': LATER }, 'proceed'],
        ['unmodified', { 'if-unmodified-since': DATE }, 'proceed'],
        ['modified', { 'if-unmodified-since': EARLIER }, moved],
        ['no date', { 'if-unmodified-since': 'x' }, 'proceed'],
        ['tag decides', { 'if-match': TAG, 'if-unmodified-since': EARLIER }, 'proceed'],
        ['order', { 'if-modified-since': LATER, 'if-unmodified-since': EARLIER }, 'not-modified'],
    ];
    for (const [label, headers, wanted, method] of table) {
        const value = Object.values(headers).at(-1) ?? '';
        const first = Object.values(headers)[0] ?? '';
        const text = wanted.replace('%', () => (wanted === none ? first : value));
        t.equal(judge(headers, method), text, `${label}: ${JSON.stringify(headers)}`);
    }
    const undated = { etag: TAG };
    t.equal(
        checkPreconditions({ 'if-modified-since': LATER }, undated, 'GET'),
        'proceed',
        'documents have no date',
    );
    t.equal(checkPreconditions({ 'if-unmodified-since': EARLIER }, undated, 'POST'), 'proceed');
    t.match(judge({ 'if-match': 'a,'.repeat(20_000) }), /^412/, 'long lists take no time');
});

function rangeOf(header: string | undefined, size: number, ifRange?: string): unknown {
    try {
        const headers = {
            ...(header === undefined ? {} : { range: header }),
            ...(ifRange === undefined ? {} : { 'if-range': ifRange }),
        };
        return requestedRange(headers, { etag: TAG, lastModified: MODIFIED }, size);
    } catch (error) {
        if (error instanceof ApiError) return [error.status, error.message, error.headers['Content-Range']];
        throw error;
    }
}

await t.test('ranges', async (t) => {
    const beyond = (header: string, size: number): unknown => [
        416,
        `range '${header}' is not satisfiable for size ${size}`,
        `bytes */${size}`,
    ];
    const table: readonly (readonly [string | undefined, number, unknown])[] = [
        [undefined, 10, undefined],
        ['bytes=0-0', 10, { start: 0, end: 0 }],
        ['bytes=2-5', 10, { start: 2, end: 5 }],
        ['bytes=2-', 10, { start: 2, end: 9 }],
        ['bytes=9-', 10, { start: 9, end: 9 }],
        ['bytes=-3', 10, { start: 7, end: 9 }],
        ['bytes=-99', 10, { start: 0, end: 9 }],
        ['bytes=5-99', 10, { start: 5, end: 9 }],
        ['Bytes=1-2', 10, { start: 1, end: 2 }],
        ['bytes= 1-2 ', 10, { start: 1, end: 2 }],
        [`bytes=1-${'9'.repeat(400)}`, 10, { start: 1, end: 9 }],
        ['bytes=10-', 10, beyond('bytes=10-', 10)],
        ['bytes=10-12', 10, beyond('bytes=10-12', 10)],
        [`bytes=${'9'.repeat(400)}-`, 10, beyond(`bytes=${'9'.repeat(400)}-`, 10)],
        ['bytes=-0', 10, beyond('bytes=-0', 10)],
        ['bytes=-5', 0, beyond('bytes=-5', 0)],
        ['bytes=0-', 0, beyond('bytes=0-', 0)],
        ['bytes=0-1,3-4', 10, undefined],
        ['bytes=0-1,', 10, undefined],
        ['bytes=5-2', 10, undefined],
        ['bytes=50-20', 10, undefined],
        ['bytes=-', 10, undefined],
        ['bytes=', 10, undefined],
        ['bytes=a-b', 10, undefined],
        ['bytes=1.5-2', 10, undefined],
        ['bytes=--1', 10, undefined],
        ['items=0-1', 10, undefined],
        ['0-1', 10, undefined],
    ];
    for (const [header, size, wanted] of table) {
        t.strictSame(rangeOf(header, size), wanted, `${header?.slice(0, 40)} of ${size}`);
    }
    const part = { start: 1, end: 2 };
    const holds: readonly (readonly [string, unknown])[] = [
        [TAG, part],
        [`"${TAG}"`, part],
        [DATE, part],
        [`W/"${TAG}"`, undefined],
        ['"other"', undefined],
        [EARLIER, undefined],
        [LATER, undefined],
        ['', undefined],
    ];
    for (const [value, wanted] of holds)
        t.strictSame(rangeOf('bytes=1-2', 10, value), wanted, `If-Range: ${value}`);
    t.equal(rangeOf('bytes=99-', 10, '"other"'), undefined, 'If-Range that fails: no 416');
});

const directory = t.testdir({});
const file = join(directory, 'file');
const BYTES = randomBytes(300_000);
writeFileSync(file, BYTES);

let opened: ReadStream[] = [];
let failOpen: Error | undefined;
let source: (range: { start: number; end: number } | undefined) => Promise<Readable>;

async function openFile(range: { start: number; end: number } | undefined): Promise<Readable> {
    if (failOpen !== undefined) throw failOpen;
    const handle = await open(file);
    const stream = handle.createReadStream(range);
    opened.push(stream);
    return stream;
}

function download(size: number, more: Partial<DownloadReply> = {}): DownloadReply {
    return {
        kind: 'download',
        entity: { etag: TAG, lastModified: MODIFIED },
        size,
        contentType: 'application/octet-stream',
        contentMD5: 'md5==',
        open: (range) => source(range),
        ...more,
    };
}

const ROUTES: readonly Route[] = [
    row('GET', '/file', 'GetImageFile', () => download(BYTES.length)),
    row('GET', '/old', 'Old', () => ({ ...download(BYTES.length), entity: { etag: TAG } })),
];

await t.test('downloads', async (t) => {
    source = openFile;
    opened = [];
    const { client, server } = await startShell(t, ROUTES);
    const get = async (headers: Headers = {}, method = 'GET') => client.request(method, '/file', { headers });

    const whole = await get();
    t.equal(whole.status, 200);
    t.ok(whole.body.equals(BYTES));
    const expected = {
        'content-type': 'application/octet-stream',
        'content-length': '300000',
        etag: TAG,
        'last-modified': DATE,
        'content-md5': 'md5==',
        'accept-ranges': 'bytes',
        'content-range': undefined,
    };
    for (const [name, value] of Object.entries(expected)) t.equal(whole.header(name), value, name);
    const head = await get({}, 'HEAD');
    t.equal(head.body.length, 0);
    for (const [name, value] of Object.entries(expected)) t.equal(head.header(name), value, `HEAD ${name}`);

    const part = await get({ range: 'bytes=100-199' });
    t.equal(part.status, 206);
    t.ok(part.body.equals(BYTES.subarray(100, 200)));
    t.equal(part.header('content-range'), 'bytes 100-199/300000');
    t.equal(part.header('content-length'), '100');
    t.equal(part.header('content-md5'), undefined);
    t.equal(part.header('etag'), TAG);
    t.equal(part.header('last-modified'), DATE);
    t.equal((await get({ range: 'bytes=100-199' }, 'HEAD')).header('content-range'), 'bytes 100-199/300000');

    const beyond = await get({ range: 'bytes=300000-' });
    t.strictSame(beyond.json, {
        code: 'RangeNotSatisfiable',
        message: "range 'bytes=300000-' is not satisfiable for size 300000",
    });
    t.equal(beyond.header('content-range'), 'bytes */300000');
    t.equal(beyond.status, 416);

    const fresh = await get({ 'if-none-match': `"${TAG}"`, range: 'bytes=999999-' });
    t.strictSame([fresh.status, fresh.text], [304, ''], 'preconditions come before the range');
    t.strictSame([fresh.header('etag'), fresh.header('last-modified')], [TAG, DATE]);
    for (const name of ['content-type', 'content-length', 'content-md5'])
        t.equal(fresh.header(name), undefined);
    const refused = await get({ 'if-match': 'x' });
    t.strictSame(refused.json, {
        code: 'PreconditionFailed',
        message: `if-match 'x' didn't match etag '${TAG}'`,
    });
    for (const name of ['etag', 'last-modified', 'content-md5'])
        t.equal(refused.header(name), undefined, name);
    t.equal(refused.header('content-type'), 'application/json');

    t.equal((await client.get('/old')).header('last-modified'), undefined);
    t.equal((await client.get('/old', { headers: { 'if-modified-since': LATER } })).status, 200);

    failOpen = new ApiError('StorageIsDown', 'storage is down at the moment');
    t.equal((await get()).error.code, 'StorageIsDown', 'opened before headers are sent');
    t.equal((await get({}, 'HEAD')).status, 503, 'for HEAD too');
    failOpen = undefined;
    await eventually(() => opened.every((stream) => stream.closed));
    t.pass('no file stays open');
    t.equal(server.inFlight().length, 0);
});

await t.test('any range is the slice', async (t) => {
    source = openFile;
    const { client } = await startShell(t, ROUTES);
    const number = fc.nat(330_000);
    const header = fc.oneof(
        fc.tuple(number, number).map(([a, b]) => `bytes=${a}-${b}`),
        number.map((a) => `bytes=${a}-`),
        number.map((n) => `bytes=-${n}`),
        fc.stringMatching(/^bytes=[0-9,-]{0,6}$/),
    );
    await fc.assert(
        fc.asyncProperty(header, async (range) => {
            const answer = await client.get('/file', { headers: { range } });
            if (answer.status === 200) return answer.body.equals(BYTES);
            if (answer.status === 416) return answer.header('content-range') === 'bytes */300000';
            const [, a, b] = /^bytes (\d+)-(\d+)\/300000$/.exec(answer.header('content-range') ?? '') ?? [];
            const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
            const start = from === '' ? Math.max(0, 300_000 - Number(to)) : Number(from);
            const end = from === '' || to === '' ? 299_999 : Math.min(Number(to), 299_999);
            return (
                answer.status === 206 &&
                Number(a) === start &&
                Number(b) === end &&
                answer.body.equals(BYTES.subarray(start, end + 1))
            );
        }),
        { numRuns: 150 },
    );
    t.pass();
});

await t.test('downloads that go wrong', async (t) => {
    const { client, server, logged } = await startShell(t, [
        row('GET', '/file', 'GetImageFile', () => download(3_000_000)),
    ]);
    const broken = async (stream: () => Readable): Promise<void> => {
        let made: Readable | undefined;
        source = async () => (made = stream());
        await t.rejects(client.get('/file'), 'the connection is cut');
        await eventually(() => made?.destroyed === true && server.inFlight().length === 0);
    };
    const some = Buffer.alloc(100_000);
    await broken(() => Readable.from([some, some]));
    t.match(String((await logged((one) => one.level === 50))['err']), /ended 2800000 bytes early/);
    await broken(() =>
        Readable.from(
            (function* () {
                yield some;
                throw new Error('disk');
            })(),
        ),
    );
    await broken(() => Readable.from(Array.from({ length: 31 }, () => some.subarray(0, 99_000))));
    await broken(() => {
        const stream = new Readable({ read: () => undefined });
        stream.push(some);
        setImmediate(() => stream.destroy());
        return stream;
    });
    await broken(
        () =>
            new Readable({
                read() {
                    this.destroy(new Error('at once'));
                },
            }),
    );

    let endless: Readable | undefined;
    source = async () =>
        (endless = new Readable({
            read() {
                this.push(some);
            },
        }));
    const reader = await client.download('/file');
    await once(reader, 'readable');
    reader.destroy();
    await eventually(() => endless?.destroyed === true && server.inFlight().length === 0);
    t.pass('a client that goes away ends the stream');

    source = async () =>
        (endless = new Readable({
            read() {
                this.push(some);
            },
        }));
    const stuck = await client.download('/file');
    await once(stuck, 'readable');
    stuck.on('error', () => undefined);
    server.abortAll();
    await eventually(() => endless?.destroyed === true);
    t.pass('so does the end of the server');
});

await t.test('dates', async (t) => {
    t.equal(httpDate(MODIFIED), DATE);
});
