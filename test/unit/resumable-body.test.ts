import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { OutgoingError, type OutgoingErrorFacts, type OutgoingErrorKind } from '#lib/base/http-errors.js';
import { isTransient, retryAfterMs } from '#lib/base/http-transient.js';
import type { ResumePoint } from '#lib/remotes/image-source.js';
import { RemoteImageSource } from '#lib/remotes/imgapi/remote-image-source.js';
import { ResumableBody, type ResumableBodyOptions } from '#lib/transfers/resumable-body.js';
import { SourceChangedError, type BodyBreak, type OpenedBody } from '#lib/transfers/resumable-bytes.js';
import { Retries, type RetryPolicy } from '#lib/transfers/retries.js';
import type { HttpService, ServedRequest } from '../doubles/http-service.js';
import { makeClient, serve } from '../helpers/outgoing.js';
import { eventually } from '../helpers/server-process.js';

const UUID = '11111111-2222-4333-8444-555555555555';
const MIB = 1_048_576;
const QUICK: RetryPolicy = { attempts: 5, minMs: 2, maxMs: 8 };

/** How a request for the file is answered. */
type Script = (request: ServedRequest, response: ServerResponse) => void;

/** One source of a file, and a body that is read from it. */
interface Reading {
    readonly service: HttpService;
    readonly breaks: BodyBreak[];
    readonly opened: OpenedBody[];
    readonly body: ResumableBody;
    /** The `range` of every request; those of whole files are `undefined`. */
    readonly ranges: () => (string | undefined)[];
}

function offsetOf({ headers }: ServedRequest): number {
    return Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? '0');
}

/** Answers as a server with ranges does, up to `until`, and then cuts the connection. */
function part(bytes: Buffer, etag: string | undefined, until = bytes.length): Script {
    return (request, response) => {
        const offset =
            etag !== undefined && request.headers['if-range'] === `"${etag}"` ? offsetOf(request) : 0;
        response.writeHead(offset === 0 ? 200 : 206, {
            'content-length': bytes.length - offset,
            ...(etag === undefined ? {} : { etag: `"${etag}"` }),
            ...(offset === 0
                ? {}
                : { 'content-range': `bytes ${offset}-${bytes.length - 1}/${bytes.length}` }),
        });
        response.write(bytes.subarray(offset, until), () => {
            if (until < bytes.length) response.socket?.end();
            else response.end();
        });
    };
}

/** Sends some bytes of many and then nothing; tells whether its connections have been cut. */
function silence(bytes: Buffer, until: number): { readonly script: Script; readonly isCut: () => boolean } {
    let open = 0;
    const script: Script = (_, response) => {
        open += 1;
        response.socket?.once('close', () => (open -= 1));
        response.writeHead(200, { 'content-length': bytes.length, etag: '"e1"' });
        response.write(bytes.subarray(0, until));
    };
    return { script, isCut: () => open === 0 };
}

/** Reads from a source that answers by one script after another, the last one again and again. */
async function reading(
    t: Test,
    scripts: readonly Script[],
    options: Partial<ResumableBodyOptions> = {},
): Promise<Reading> {
    let next = 0;
    const service = await serve(t, (request, response) => {
        const script = scripts[Math.min(next, scripts.length - 1)];
        next += 1;
        script?.(request, response);
    });
    const { client } = makeClient(t, {}, { retryDelaysMs: [], timeouts: { stallMs: 100 } });
    const address = { url: service.url, shownUrl: service.url, supplier: 'config' as const };
    const source = new RemoteImageSource(() => Promise.resolve(client), address);
    const breaks: BodyBreak[] = [];
    const opened: OpenedBody[] = [];
    const body = new ResumableBody({
        open: (resume: ResumePoint | undefined, signal) =>
            source.openFile(UUID, 0, { signal, ...(resume === undefined ? {} : { resume }) }),
        retries: new Retries(QUICK),
        onOpen: (found) => opened.push(found),
        onBreak: (found) => breaks.push(found),
        signal: new AbortController().signal,
        ...options,
    });
    t.teardown(() => body.destroy());
    const ranges = (): (string | undefined)[] => service.requests.map(({ headers }) => headers.range);
    return { service, breaks, opened, body, ranges };
}

async function failure(body: ResumableBody): Promise<unknown> {
    return buffer(body).then(
        () => undefined,
        (error: unknown) => error,
    );
}

void t.test('a body that breaks off goes on where it was', async (t) => {
    const bytes = randomBytes(3 * MIB);
    const { body, breaks, opened, ranges } = await reading(t, [
        part(bytes, 'e1', 1000),
        part(bytes, 'e1', MIB + 5),
        part(bytes, 'e1'),
    ]);
    t.ok((await buffer(body)).equals(bytes));
    t.equal(body.offset, bytes.length);
    t.same(ranges(), [undefined, 'bytes=1000-', `bytes=${MIB + 5}-`]);
    t.same(
        breaks.map(({ offset }) => offset),
        [1000, MIB + 5],
    );
    t.ok(breaks.every(({ pauseMs, error }) => pauseMs >= 1 && isTransient(error)));
    t.same(
        opened.map(({ start }) => start),
        [0, 1000, MIB + 5],
    );
});

void t.test('a body that ends early in good order goes on, too', async (t) => {
    const bytes = randomBytes(5000);
    const ended =
        (headers: Record<string, string | number>): Script =>
        (_, response) => {
            response.writeHead(200, { connection: 'close', etag: '"e1"', ...headers });
            response.write(bytes.subarray(0, 1000), () => response.socket?.end());
        };
    for (const headers of [{ 'content-length': 5000 }, {}]) {
        const { body, ranges } = await reading(t, [ended(headers), part(bytes, 'e1')]);
        t.ok((await buffer(body)).equals(bytes));
        t.same(ranges(), [undefined, 'bytes=1000-'], JSON.stringify(headers));
    }
    const complete: Script = (_, response) => {
        response.writeHead(200, { etag: '"e1"' });
        response.end(bytes.subarray(0, 1000));
    };
    const { body, ranges } = await reading(t, [complete, part(bytes, 'e1')], { size: 5000 });
    t.ok((await buffer(body)).equals(bytes), 'shorter than it is known to be');
    t.same(ranges(), [undefined, 'bytes=1000-']);
});

void t.test('a body that stalls is cut and goes on', async (t) => {
    const bytes = randomBytes(100_000);
    const { script: stall, isCut } = silence(bytes, 700);
    const { body, breaks, ranges } = await reading(t, [stall, part(bytes, 'e1')], { stallMs: 50 });
    t.ok((await buffer(body)).equals(bytes));
    t.same(ranges(), [undefined, 'bytes=700-']);
    t.match(breaks[0]?.error, { message: /no data received/ });
    await eventually('the stalled connection to be cut', 5000, isCut);

    const slow = await reading(t, [stall, part(bytes, 'e1')]);
    t.ok((await buffer(slow.body)).equals(bytes));
    t.match(slow.breaks[0]?.error, { kind: 'timeout' }, 'the client of the requests looks, too');
});

void t.test('a source that does not go on', async (t) => {
    const bytes = randomBytes(5000);
    const other = randomBytes(5000);
    const range = { 'content-range': 'bytes 1000-4999/5000', 'content-length': 4000 };
    const rows: [name: string, scripts: Script[], expected: RegExp][] = [
        ['all of it instead of the rest', [part(bytes, 'e1', 1000), part(other, 'e2')], /does not go on/],
        ['no entity tag', [part(bytes, undefined, 1000), part(bytes, undefined)], /no parts/],
        [
            'a weak entity tag',
            [
                (_, response) => {
                    response.writeHead(200, { 'content-length': 5000, etag: 'W/"e1"' });
                    response.write(bytes.subarray(0, 1000), () => response.socket?.end());
                },
            ],
            /no parts/,
        ],
        [
            'the rest of something else',
            [
                part(bytes, 'e1', 1000),
                (_, response) =>
                    response.writeHead(206, { ...range, etag: '"e2"' }).end(other.subarray(1000)),
            ],
            /does not go on/,
        ],
        [
            'another size',
            [
                part(bytes, 'e1', 1000),
                (_, response) =>
                    response
                        .writeHead(206, { 'content-range': 'bytes 1000-1009/1010', 'content-length': 10 })
                        .end(other.subarray(0, 10)),
            ],
            /does not go on/,
        ],
        [
            'no such part',
            [
                part(bytes, 'e1', 1000),
                (_, response) => response.writeHead(416, { 'content-range': 'bytes */900' }).end(),
            ],
            /no such part/,
        ],
    ];
    for (const [name, scripts, expected] of rows) {
        const { body } = await reading(t, scripts);
        const error = await failure(body);
        t.ok(error instanceof SourceChangedError, name);
        t.match((error as Error).message, expected, name);
        t.ok(isTransient(error) || (error as Error).cause instanceof OutgoingError, `${name}: the cause`);
    }
    const { body } = await reading(t, [
        part(bytes, 'e1', 1000),
        (_, response) => response.writeHead(206, { 'content-range': 'bytes 7-4999/5000' }).end(),
    ]);
    t.match(await failure(body), { kind: 'malformed' }, 'another part than asked for');
});

void t.test('bytes that are there already', async (t) => {
    const bytes = randomBytes(5000);
    const from = { offset: 2000, etag: 'e1' };
    const rest = await reading(t, [part(bytes, 'e1')], { from, size: 5000 });
    t.ok((await buffer(rest.body)).equals(bytes.subarray(2000)));
    t.same(rest.ranges(), ['bytes=2000-']);

    const complete: Script = (_, response) =>
        response.writeHead(416, { 'content-range': 'bytes */5000' }).end('{}');
    const all = { offset: 5000, etag: 'e1' };
    const unsized = await reading(t, [complete], { from: all });
    t.equal((await buffer(unsized.body)).length, 0, '416 with the size that is there is the end');
    const sized = await reading(t, [complete], { from: all, size: 5000 });
    t.equal((await buffer(sized.body)).length, 0);
    t.equal(sized.service.requests.length, 0, 'nothing to ask for');

    const changed = await reading(t, [part(bytes, 'e2')], { from, size: 5000 });
    t.ok((await failure(changed.body)) instanceof SourceChangedError);
});

void t.test('a body that has been opened already', async (t) => {
    const bytes = randomBytes(5000);
    const source = await reading(t, [part(bytes, 'e1', 10)]);
    t.ok(source.body.destroy().destroyed);
    const { client } = makeClient(t);
    const { signal } = new AbortController();
    const answer = await client.open({ url: source.service.url, peer: 'web', signal });
    const opened = {
        start: 0,
        size: 5000,
        body: answer.body,
        failure: (error: unknown) => answer.failure(error),
    };
    let reopened = 0;
    const body = new ResumableBody({
        first: { ...opened, etag: 'e1' },
        open: async (resume, stop) => {
            reopened += 1;
            t.same(resume, { offset: 10, etag: 'e1' });
            const rest = await client.open({
                url: source.service.url,
                peer: 'web',
                headers: { range: 'bytes=10-' },
                signal: stop,
            });
            rest.body.on('error', () => undefined).destroy();
            throw new OutgoingError('status', 'gone', { status: 404 });
        },
        retries: new Retries(QUICK),
        signal,
    });
    t.match(await failure(body), { status: 404 }, 'what is not transient ends it');
    t.equal(reopened, 1);
});

void t.test('tries without progress', async (t) => {
    const bytes = randomBytes(4 * MIB);
    const busy: Script = (_, response) => response.writeHead(503).end();
    const stuck = await reading(t, [busy]);
    t.match(await failure(stuck.body), { kind: 'status', status: 503 });
    t.equal(stuck.service.requests.length, 5);

    const late = await reading(t, [busy, busy, busy, busy, part(bytes, 'e1')]);
    t.ok((await buffer(late.body)).equals(bytes), 'the fifth helps');

    const steps = [MIB, MIB + 10, MIB + 20, MIB + 30, MIB + 40, 2 * MIB + 50, 2 * MIB + 60];
    const slow = await reading(t, [...steps.map((until) => part(bytes, 'e1', until)), part(bytes, 'e1')]);
    t.ok((await buffer(slow.body)).equals(bytes), 'counted anew after each mebibyte');
    t.equal(slow.service.requests.length, 8);

    const crawling = await reading(
        t,
        [10, 20, 30, 40, 50, 60, 70].map((until) => part(bytes, 'e1', until)),
    );
    t.match(await failure(crawling.body), { kind: 'connect' });
    t.equal(crawling.service.requests.length, 5, 'a few bytes are no progress');

    const missing = await reading(t, [(_, response) => response.writeHead(404).end()]);
    t.match(await failure(missing.body), { status: 404 });
    t.equal(missing.service.requests.length, 1);
});

void t.test('starting over keeps the count', async (t) => {
    const retries = new Retries(QUICK);
    const bytes = randomBytes(2 * MIB);
    let requests = 0;
    let last: unknown = new SourceChangedError('not begun');
    while (last instanceof SourceChangedError && requests < 100) {
        const { body, service } = await reading(t, [part(bytes, undefined, MIB + 1)], { retries });
        last = await failure(body);
        requests += service.requests.length;
    }
    t.match(last, { kind: 'connect' });
    t.equal(requests, 6, 'one with progress, five without');
});

void t.test('a body that nobody wants any more', async (t) => {
    const bytes = randomBytes(4 * MIB);
    const { script: hang, isCut } = silence(bytes, 100_000);
    const given = new AbortController();
    const stopped = await reading(t, [hang], { signal: given.signal, stallMs: 60_000 });
    const ended = failure(stopped.body);
    await eventually('the first bytes', 5000, () => stopped.body.offset > 0);
    given.abort();
    t.match(await ended, { name: 'AbortError' });
    await eventually('the connection to be cut', 5000, isCut);

    const destroyed = await reading(t, [hang], { stallMs: 60_000 });
    destroyed.body.resume();
    await eventually('the first bytes again', 5000, () => destroyed.body.offset > 0);
    destroyed.body.destroy();
    await eventually('this connection to be cut', 5000, isCut);

    const waiting = await reading(t, [
        (_, response) => response.writeHead(503, { 'retry-after': '200' }).end(),
    ]);
    const pause = failure(waiting.body);
    await eventually('a wait', 5000, () => waiting.breaks.length === 1);
    t.equal(waiting.breaks[0]?.pauseMs, 200_000, 'what the source asks for');
    waiting.body.destroy();
    t.match(await pause, { code: 'ERR_STREAM_PREMATURE_CLOSE' });

    const early = await reading(t, [part(bytes, 'e1')], { signal: AbortSignal.abort() });
    t.match(await failure(early.body), { name: 'AbortError' });
    await turn();
    t.equal(early.service.requests.length, 0);
});

void t.test('Retry-After', async (t) => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const asks = (value: string): OutgoingError =>
        new OutgoingError('status', 'busy', { status: 503, headers: { 'retry-after': value } });
    t.equal(retryAfterMs(asks('7'), now), 7000);
    t.equal(retryAfterMs(asks('301'), now), 300_000);
    t.equal(retryAfterMs(asks('Thu, 01 Jan 2026 00:00:09 GMT'), now), 9000);
    t.equal(retryAfterMs(asks('Thu, 01 Jan 2025 00:00:09 GMT'), now), 0);
    t.equal(retryAfterMs(asks('soon'), now), 0);
    t.equal(retryAfterMs(new OutgoingError('status', 'busy', { status: 503 }), now), 0);
    t.equal(retryAfterMs(new Error('other'), now), 0);
    t.equal(
        retryAfterMs(new Error('named', { cause: asks('8') }), now),
        8000,
        'as it is repeated to clients',
    );
});

void t.test('the pace', async (t) => {
    const broken = new OutgoingError('connect', 'broken');
    const pauses = (random: number, policy: RetryPolicy): (number | undefined)[] => {
        const retries = new Retries(policy, () => random);
        return [1, 2, 3, 4, 5].map(() => retries.pauseAfter(broken));
    };
    const policy = { attempts: 5, minMs: 1000, maxMs: 4000 };
    t.same(pauses(0, policy), [500, 1000, 2000, 2000, undefined]);
    t.same(pauses(0.5, policy), [750, 1500, 3000, 3000, undefined]);
    const retries = new Retries({ ...policy, progressBytes: Infinity }, () => 0);
    for (const expected of [500, 1000, 2000, 2000, undefined]) {
        retries.reached(1e12);
        t.equal(retries.pauseAfter(broken), expected, 'progress need not count');
    }
});

void t.test('what is transient', async (t) => {
    const error = (kind: OutgoingErrorKind, facts: OutgoingErrorFacts = {}): OutgoingError =>
        new OutgoingError(kind, 'x', facts);
    const coded = (code: string): Error => Object.assign(new Error('x'), { code });
    for (const status of [408, 425, 429, 500, 502, 503, 504]) {
        t.ok(isTransient(error('status', { status })), String(status));
    }
    for (const status of [300, 400, 401, 403, 404, 409, 410, 416, 422, 501, 505]) {
        t.notOk(isTransient(error('status', { status })), String(status));
    }
    const yes = ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_SOCKET', 'EHOSTUNREACH'];
    const no = [
        'CERT_HAS_EXPIRED',
        'DEPTH_ZERO_SELF_SIGNED_CERT',
        'SELF_SIGNED_CERT_IN_CHAIN',
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
        'ERR_TLS_CERT_ALTNAME_INVALID',
        'HOSTNAME_MISMATCH',
        'ERR_SSL_WRONG_VERSION_NUMBER',
    ];
    for (const code of yes) {
        t.ok(isTransient(error('connect', { cause: coded(code) })), code);
        t.ok(isTransient(error('connect', { cause: new AggregateError([coded(code)]) })), code);
    }
    for (const code of no) t.notOk(isTransient(error('connect', { cause: coded(code) })), code);
    t.ok(isTransient(error('connect')));
    t.ok(isTransient(error('timeout')));
    t.ok(isTransient(error('malformed', { cause: coded('UND_ERR_RES_CONTENT_LENGTH_MISMATCH') })));
    t.notOk(isTransient(error('malformed', { cause: coded('HPE_INVALID_CONSTANT') })));
    for (const kind of ['malformed', 'too-large', 'aborted', 'refused'] as const) {
        t.notOk(isTransient(error(kind)), kind);
    }
    t.ok(isTransient(new ApiError('Upload', 'x', { cause: error('timeout') })), 'as a cause');
    t.notOk(isTransient(new ApiError('Upload', 'x')));
    t.notOk(isTransient(new Error('ECONNRESET')));
    t.notOk(isTransient(undefined));
});
