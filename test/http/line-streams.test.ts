// Answers made of lines, as the server sends them whatever they tell: pace, slow and vanished readers, the
// end of the server (jobs-and-imports 8.3, operations 1.4).
import { serviceUnavailable } from '#lib/base/errors.js';
import { WorkLines, type Say } from '#lib/base/work-lines.js';
import { messageStyle, PROGRESS_STYLE } from '#lib/http/line-style.js';
import type { LinesReply, StreamLine } from '#lib/http/reply.js';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { LineReader } from '../helpers/line-reader.js';
import { eventually, row, startShell, type Shell } from '../helpers/shell-server.js';

/** A line long enough for a few of them to fill every buffer on the way. */
const LONG = 'x'.repeat(100_000);

/** A source whose lines the test gives, and what has become of it. */
class Source {
    readonly #lines: (StreamLine | 'end' | Error)[] = [];
    #wake: () => void = () => undefined;
    began = 0;
    /** Lines asked for. */
    given = 0;
    ended = 0;
    released = 0;

    say(...lines: (StreamLine | 'end' | Error)[]): void {
        this.#lines.push(...lines);
        this.#wake();
    }

    reply(): LinesReply {
        return {
            kind: 'lines',
            style: PROGRESS_STYLE,
            headers: { 'x-of': 'test' },
            lines: (signal) => this.#read(signal),
            release: () => {
                this.released += 1;
            },
        };
    }

    async *#read(signal: AbortSignal): AsyncGenerator<StreamLine> {
        this.began += 1;
        const woken = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        try {
            while (!signal.aborted) {
                const line = this.#lines[this.given];
                if (line === 'end') return;
                if (line instanceof Error) throw line;
                if (line === undefined) {
                    await Promise.race([woken, new Promise<void>((resolve) => (this.#wake = resolve))]);
                } else {
                    this.given += 1;
                    yield line;
                }
            }
            signal.throwIfAborted();
        } finally {
            this.ended += 1;
        }
    }
}

async function start(t: Test, limits: Parameters<typeof startShell>[2] = {}): Promise<[Shell, Source]> {
    const source = new Source();
    const shell = await startShell(
        t,
        [
            row('GET', '/lines', 'Lines', () => source.reply()),
            row('POST', '/lines', 'PostLines', () => source.reply()),
        ],
        limits,
    );
    t.teardown(() => shell.client.close());
    return [shell, source];
}

void t.test('lines are sent as they come', async (t) => {
    const [shell, source] = await start(t);
    source.say({ type: 'job', a: 1 });
    const reader = await LineReader.open(shell.client, '/lines');
    t.equal(reader.status, 200);
    t.equal(reader.header('content-type'), 'application/x-json-stream');
    t.equal(reader.header('content-length'), undefined);
    t.equal(reader.header('x-of'), 'test');
    const first = await reader.next();
    t.strictSame(Object.keys(first), ['type', 'time', 'a']);
    t.equal(new Date(String(first['time'])).toISOString(), first['time']);
    source.say({ type: 'done', b: null }, 'end');
    t.match(await reader.rest(), [{ type: 'done', time: String, b: null }]);
    t.strictSame([source.began, source.released], [1, 1]);

    await eventually(() => shell.audits().length === 1);
    t.match(shell.audits()[0], { route: 'lines', res: { statusCode: 200 } });
    t.notHas(shell.audits()[0]?.['res'], 'body');
});

void t.test('HEAD gets the headers and begins nothing', async (t) => {
    const [shell, source] = await start(t);
    const answer = await shell.client.request('HEAD', '/lines');
    t.equal(answer.status, 200);
    t.equal(answer.header('content-type'), 'application/x-json-stream');
    t.equal(answer.body.length, 0);
    await eventually(() => source.released === 1);
    t.equal(source.began, 0);
});

void t.test('a silent stream says that it lives', async (t) => {
    const [shell, source] = await start(t, { silenceMs: 20 });
    const reader = await LineReader.open(shell.client, '/lines');
    t.match(await reader.next(), { type: 'keepalive', time: String });
    t.equal((await reader.next())['type'], 'keepalive');
    source.say({ type: 'done' });
    t.equal((await reader.until('done'))['type'], 'done');
    source.say('end');
    await reader.rest();
});

void t.test('how long it lasted is in the audit record, but says nothing of the server', async (t) => {
    const [shell, source] = await start(t, { silenceMs: 50 });
    const reader = await LineReader.open(shell.client, '/lines');
    for (let i = 0; i < 4; i += 1) await reader.until('keepalive');
    source.say('end');
    await reader.rest();
    await eventually(() => shell.audits().length === 1);
    const latency = Number(shell.audits()[0]?.['latency']);
    t.ok(latency >= 190, `audit: ${latency} ms`);
    const sum = /^http_request_duration_seconds_sum\{.*\} (.*)$/m.exec(await shell.metrics.text())?.[1];
    t.ok(Number(sum) * 1000 < latency - 100, `metrics: ${sum} s`);
});

void t.test('a failing source ends it with an error line', async (t) => {
    const failures = [
        { thrown: serviceUnavailable('gone'), code: 'ServiceUnavailableError', message: 'gone' },
        { thrown: new Error('/secret'), code: 'InternalError', message: 'internal error' },
    ];
    for (const { thrown, code, message } of failures) {
        const [shell, source] = await start(t);
        source.say({ type: 'job' }, thrown);
        const reader = await LineReader.open(shell.client, '/lines');
        await reader.until('job');
        t.match(await reader.rest(), [{ type: 'error', time: String, error: { code, message } }]);
        await eventually(() => shell.audits().length === 1);
        t.match(shell.audits()[0], { err: { code } }, 'the audit record tells of it');
        t.equal(source.released, 1);
    }
});

void t.test('a client that hangs up ends it', async (t) => {
    const [shell, source] = await start(t);
    source.say({ type: 'job' });
    const reader = await LineReader.open(shell.client, '/lines');
    await reader.next();
    t.equal(source.ended, 0);
    reader.close();
    await eventually(() => source.ended === 1 && source.released === 1);
});

void t.test('nothing is asked for while the reader takes nothing, and then it is cut', async (t) => {
    const [shell, source] = await start(t, { readerMs: 300 });
    for (let i = 0; i < 1000; i += 1) source.say({ type: 'progress', i, LONG });
    const socket = connect(shell.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /lines HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => source.ended === 1 && source.released === 1);
    t.ok(source.given < 500, 'most lines were never asked for');
    t.equal(shell.server.inFlight().length, 0);
    socket.destroy();
});

void t.test('a reader that stops for a while gets what comes later', async (t) => {
    const [shell, source] = await start(t);
    for (let i = 0; i < 200; i += 1) source.say({ type: 'progress', i, LONG });
    const message = await shell.client.download('/lines');
    await eventually(() => source.given > 0);
    const before = source.given;
    t.ok(before < 200, 'the source waits for the reader');
    source.say({ type: 'done' }, 'end');
    const lines = await new LineReader(message).rest();
    t.equal(lines.length, 201);
    t.equal(lines.at(-1)?.['type'], 'done');
});

void t.test('a stream is no change that the end of the server waits for', async (t) => {
    const [shell, source] = await start(t);
    source.say({ type: 'job' });
    const { request, answer } = shell.client.open('POST', '/lines');
    request.end();
    await eventually(() => source.given === 1);
    t.match(shell.server.inFlight(), [{ route: 'PostLines', modifying: false }]);
    shell.server.endStreams();
    const lines = (await answer).text.trimEnd().split('\n');
    t.match(
        lines.map((line) => JSON.parse(line) as unknown),
        [{ type: 'job' }, { type: 'closing', time: String }],
    );
    t.equal(source.released, 1);
    const late = await LineReader.open(shell.client, '/lines');
    t.match(await late.rest(), [{ type: 'closing' }], 'and none begins afterwards');
});

void t.test('the end of the server does not wait for a reader that takes nothing', async (t) => {
    const [shell, source] = await start(t);
    for (let i = 0; i < 200; i += 1) source.say({ type: 'progress', i, LONG });
    const message = await shell.client.download('/lines');
    message.on('error', () => undefined);
    let given = -1;
    await eventually(() => {
        const isStuck = given === source.given && given > 0;
        given = source.given;
        return isStuck;
    });
    shell.server.endStreams();
    await eventually(() => shell.server.inFlight().length === 0);
    t.equal(source.released, 1);
    t.ok(source.given < 200);
    message.destroy();
});

void t.test('many readers', async (t) => {
    const [shell, source] = await start(t);
    source.say({ type: 'job' });
    const count = 200;
    const readers = await Promise.all(
        Array.from({ length: count }, async () => LineReader.open(shell.client, '/lines')),
    );
    t.equal(shell.server.inFlight().length, count);
    shell.server.endStreams();
    const ends = await Promise.all(readers.map(async (reader) => (await reader.rest()).at(-1)?.['type']));
    t.strictSame(new Set(ends), new Set(['closing']));
    await eventually(() => source.released === count);
});

void t.test('clients of HTTP/1.0 get the lines until the connection ends', async (t) => {
    const [shell, source] = await start(t);
    source.say({ type: 'done' }, 'end');
    const socket = connect(shell.port, '127.0.0.1');
    socket.write('GET /lines HTTP/1.0\r\nHost: x\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    t.match(text, /^HTTP\/1\.1 200 .*\r\n\r\n\{"type":"done","time":"[^"]+"\}\n$/s);
});

/** A stream that is the work itself; `undone` ends its clean-up. */
async function startWork(t: Test): Promise<{
    shell: Shell;
    work: WorkLines<StreamLine>;
    say: Say<StreamLine>;
    end: () => void;
    undone: () => void;
    stopped: () => boolean;
}> {
    const told: { say: Say<StreamLine>; signal: AbortSignal }[] = [];
    let end = (): void => undefined;
    let undone = (): void => undefined;
    const work = new WorkLines<StreamLine>(async (say, signal) => {
        told.push({ say, signal });
        const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        await Promise.race([aborted, new Promise<void>((resolve) => (end = resolve))]);
        if (signal.aborted) await new Promise<void>((resolve) => (undone = resolve));
    }, new AbortController().signal);
    const style = messageStyle(({ code, message }) => ({ type: 'error', error: { code, message }, id: 'x' }));
    const shell = await startShell(t, [
        row('POST', '/work', 'Work', () => ({
            kind: 'lines',
            style,
            lines: () => work,
            release: () => undefined,
        })),
    ]);
    t.teardown(() => shell.client.close());
    return {
        shell,
        work,
        say: (line, key) => told[0]?.say(line, key),
        end: () => end(),
        undone: () => undone(),
        stopped: () => told[0]?.signal.aborted ?? false,
    };
}

void t.test('messages of work are lines as they are, ended by CR LF', async (t) => {
    const { shell, say, end } = await startWork(t);
    say({ type: 'status', payload: { status: 'a' }, id: 'x' });
    end();
    const answer = await shell.client.request('POST', '/work');
    t.equal(answer.header('content-type'), 'application/json');
    t.equal(answer.header('transfer-encoding'), 'chunked');
    t.equal(answer.body.toString(), '{"type":"status","payload":{"status":"a"},"id":"x"}\r\n');
});

void t.test('work is not ended by the end of the server, but let finish', async (t) => {
    const { shell, say, end } = await startWork(t);
    const reader = await LineReader.open(shell.client, '/work', {}, 'POST');
    say({ type: 'one' });
    await reader.until('one');
    t.equal(shell.server.inFlight()[0]?.modifying, true);
    shell.server.endStreams();
    say({ type: 'two' });
    await reader.until('two');
    end();
    t.strictSame(await reader.rest(), []);
});

void t.test('a request whose reader has gone is in flight until its work is undone', async (t) => {
    const { shell, say, undone, stopped } = await startWork(t);
    const reader = await LineReader.open(shell.client, '/work', {}, 'POST');
    say({ type: 'one' });
    await reader.until('one');
    reader.close();
    await eventually(stopped);
    t.equal(shell.server.inFlight().length, 1);
    undone();
    await eventually(() => shell.server.inFlight().length === 0);
});
