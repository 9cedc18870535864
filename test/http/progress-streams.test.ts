// The progress of jobs in lines, on jobs that are made up: which lines, how often, to whom, how many readers
// (jobs-and-imports 8.3).
import { serviceUnavailable } from '#lib/base/errors.js';
import type { Endpoint } from '#lib/http/endpoint.js';
import { jobStream, streamReply } from '#lib/http/progress-stream.js';
import t, { type Test } from 'tap';
import type { Document } from '../helpers/http-client.js';
import { FATHER, JOIN_US, UNKNOWN, USERS } from '../helpers/images.js';
import { JOBS_CONFIG, startJobShell, type JobShell } from '../helpers/job-shell.js';
import { LineReader } from '../helpers/line-reader.js';
import { record } from '../helpers/records.js';
import { eventually } from '../helpers/shell-server.js';

const { vader, luke } = USERS;
const JOB = '11111111-0000-4000-8000-00000000000a';
const PATH = `/jobs/${JOB}/progress?stream=true`;
const RUNNING = { uuid: JOB, execution: 'running', imageUuid: FATHER, params: { account: vader } };
const IMAGE = record({ uuid: FATHER, owner: vader, channels: undefined });
const TOO_MANY = { code: 'ServiceUnavailableError', message: 'too many progress streams' };

async function start(t: Test, options?: Parameters<typeof startJobShell>[1]): Promise<JobShell> {
    const shell = await startJobShell(t, options);
    shell.engine.set(RUNNING);
    await shell.bench.plant({ ...IMAGE });
    return shell;
}

function types(lines: readonly Document[]): unknown[] {
    return lines.map((line) => line['type']);
}

void t.test('from the first line to the last', async (t) => {
    const { client, engine, port } = await start(t);
    const reader = await LineReader.open(client, PATH);
    t.equal(reader.status, 200);
    t.equal(reader.header('content-type'), 'application/x-json-stream');
    t.equal(reader.header('workflow-api'), undefined, 'the plain answer has none either');
    const { time, ...job } = await reader.next();
    t.match(time, /^\d{4}-.*Z$/);
    t.strictSame(job, {
        type: 'job',
        job_uuid: JOB,
        image_uuid: FATHER,
        workflow_api: `http://127.0.0.1:${port}`,
    });
    t.match(await reader.next(), {
        type: 'progress',
        time: String,
        job_uuid: JOB,
        image_uuid: FATHER,
        execution: 'running',
        bytes_done: 0,
        bytes_total: 1000,
        error: null,
    });
    engine.change(JOB, { finished: [{ image_uuid: JOIN_US, state: 'active' }] });
    const { time: at, ...image } = await reader.next();
    t.ok(at);
    t.strictSame(image, { type: 'image', image_uuid: JOIN_US, state: 'active' });
    engine.change(JOB, { progress: { bytes_done: 500 } });
    t.match(await reader.next(), { type: 'progress', bytes_done: 500 });
    engine.change(JOB, {
        execution: 'succeeded',
        finished: [
            { image_uuid: JOIN_US, state: 'active' },
            { image_uuid: FATHER, state: 'active' },
        ],
    });
    const rest = await reader.rest();
    t.match(rest.at(-2), { type: 'image', image_uuid: FATHER });
    const done = rest.at(-1);
    t.match(done, { type: 'done', execution: 'succeeded', image: { uuid: FATHER, state: 'active' } });
    t.notHas(done, 'result');
    t.strictSame(
        (await client.get(`/images/${FATHER}`)).json,
        done?.['image'],
        'the manifest as GetImage has it',
    );
    t.equal(engine.waiting, 0, 'nobody waits for the job any more');
});

void t.test('a job that has ended long ago', async (t) => {
    const { client, engine } = await start(t);
    const end = async (query = '', headers = {}): Promise<Document | undefined> => {
        const lines = await (await LineReader.open(client, `${PATH}${query}`, { headers })).rest();
        t.strictSame(types(lines).slice(0, 2), ['job', 'progress']);
        t.equal(lines.length, 3);
        return lines.at(-1);
    };
    engine.change(JOB, { execution: 'succeeded' });
    const headers = { 'accept-version': '~2' };
    t.strictSame(
        (await end('', headers))?.['image'],
        (await client.get(`/images/${FATHER}`, { headers })).json,
        'the manifest in the version asked for',
    );
    engine.change(JOB, { imageUuid: UNKNOWN });
    t.notHas(await end(), 'image', 'it was deleted meanwhile');

    const failure = { code: 'Download', message: 'no' };
    engine.change(JOB, { execution: 'failed', progress: { error: failure } });
    t.match(await end(), { type: 'error', execution: 'failed', error: failure });
    engine.change(JOB, { progress: {}, more: { chain_results: [{ error: { name: 'A', message: 'b' } }] } });
    t.match(await end(), { type: 'error', error: { code: 'A', message: 'b' } });
    engine.change(JOB, { execution: 'canceled', more: {} });
    t.match(await end(), { type: 'error', execution: 'canceled', error: { code: 'Canceled' } });
});

void t.test('what the reader may not see', async (t) => {
    const { client, engine } = await start(t);
    engine.change(JOB, { execution: 'succeeded', params: { account: luke } });
    const lines = await (await LineReader.open(client, `${PATH}&account=${luke}`)).rest();
    t.equal(lines.at(-1)?.['type'], 'done');
    t.notHas(lines.at(-1), 'image');
});

void t.test('the progress of an image', async (t) => {
    const { client, engine } = await start(t);
    engine.change(JOB, { execution: 'succeeded', imageUuid: JOIN_US, origins: [FATHER] });
    const lines = await (await LineReader.open(client, `/images/${FATHER}/progress?stream=true`)).rest();
    t.match(lines[0], { type: 'job', image_uuid: JOIN_US }, 'of the job, not the one asked for');
});

void t.test('numbers at most once a second, images at once', async (t) => {
    const { client, engine } = await start(t);
    const reader = await LineReader.open(client, PATH);
    await reader.until('progress');
    const begun = Date.now();
    const before = engine.finds;
    const finished: { image_uuid: string; state: string }[] = [];
    for (let i = 1; i <= 200; i += 1) {
        engine.change(JOB, { progress: { bytes_done: i }, finished: [...finished] });
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (i % 50 === 0) finished.push({ image_uuid: JOIN_US, state: 'active' });
    }
    engine.change(JOB, { execution: 'failed', finished });
    const lines = await reader.rest();
    const seconds = (Date.now() - begun) / 1000;
    const images = lines.filter(({ type }) => type === 'image');
    const numbers = lines.filter(({ type }) => type === 'progress');
    t.equal(images.length, 4);
    t.ok(Date.parse(String(images[0]?.['time'])) - begun < 900, 'an image does not wait for the numbers');
    t.ok(numbers.length >= 1 && numbers.length <= seconds, `${numbers.length} in ${seconds} s`);
    const times = numbers.map(({ time }) => Date.parse(String(time)));
    t.ok(times.every((time, i) => i === 0 || time - (times[i - 1] ?? 0) >= 990));
    t.ok(engine.finds - before <= seconds * 10 + 2, 'nor is the job looked at for every change');
});

void t.test('a change is told that comes and goes within the second', async (t) => {
    const { client, engine } = await start(t);
    const reader = await LineReader.open(client, PATH);
    await reader.until('progress');
    engine.change(JOB, { progress: { bytes_done: 7 } });
    t.match(await reader.next(), { type: 'progress', bytes_done: 7 }, 'later, without another change');
    reader.close();
    await eventually(() => engine.waiting === 0);
});

void t.test('a workflow service that is away for a while', async (t) => {
    const { client, engine } = await start(t, { workflowApi: 'http://wf.example' });
    const reader = await LineReader.open(client, PATH);
    t.match(await reader.next(), { type: 'job', workflow_api: 'http://wf.example' });
    await reader.until('progress');
    engine.failure = serviceUnavailable('Workflow API is down.');
    const before = engine.finds;
    engine.wake();
    await eventually(() => engine.finds >= before + 2);
    engine.failure = undefined;
    engine.change(JOB, { execution: 'succeeded' });
    t.equal((await reader.rest()).at(-1)?.['type'], 'done');
});

void t.test('a job that is removed', async (t) => {
    const { client, engine } = await start(t);
    const reader = await LineReader.open(client, PATH);
    await reader.until('progress');
    engine.remove(JOB);
    t.match(await reader.rest(), [
        { type: 'error', error: { code: 'ResourceNotFound' }, execution: 'running' },
    ]);
});

void t.test('so many streams and no more', async (t) => {
    const { client, engine, bench } = await start(t);
    const config = (maxStreams: number): void => bench.setConfig({ jobs: { ...JOBS_CONFIG, maxStreams } });
    config(2);
    const readers = [await LineReader.open(client, PATH), await LineReader.open(client, PATH)];
    for (const method of ['GET', 'HEAD']) {
        const refused = await client.request(method, PATH);
        t.equal(refused.status, 503);
        if (method === 'GET') t.match(refused.error, TOO_MANY);
    }
    t.equal((await client.get(`/jobs/${JOB}/progress`)).status, 200, 'once is no stream');
    config(3);
    readers.push(await LineReader.open(client, PATH));
    t.equal(readers[2]?.status, 200, 'a reload counts at once');
    readers[0]?.close();
    await eventually(async () => (await client.request('HEAD', PATH)).status === 200);
    for (let i = 0; i < 5; i += 1) {
        const head = await client.request('HEAD', PATH);
        t.strictSame([head.status, head.body.length], [200, 0], 'one that sends headers only holds no place');
    }
    t.equal((await client.get(`/jobs/${UNKNOWN}/progress?stream=true`)).status, 404, 'nor does an error');
    t.equal((await client.get(`/jobs/${UNKNOWN}/progress?stream=true`)).status, 404);
    engine.change(JOB, { execution: 'failed' });
    await Promise.all(readers.slice(1).map(async (reader) => reader.rest()));
    config(1);
    await eventually(async () => (await client.request('HEAD', PATH)).status === 200);
});

void t.test('the answer to a request that has started a job', async (t) => {
    const facts = { imageUuid: FATHER, jobUuid: JOB, result: 'updated', changed: ['name'] } as const;
    const endpoint = (path: string, handle: NonNullable<Endpoint['handle']>): Endpoint => ({
        name: 'Test',
        method: 'POST',
        path,
        summary: '',
        chain: [],
        handle,
    });
    const endpoints = [
        endpoint('/service', (call) => streamReply(call, async () => jobStream(call, facts))),
        endpoint('/here', (call) =>
            streamReply(call, async () => jobStream(call, { ...facts, local: true })),
        ),
        endpoint('/first', (call) =>
            streamReply(call, async () => {
                if (call.exchange.query.has('fail')) throw serviceUnavailable('no');
                return jobStream(call, facts);
            }),
        ),
    ];
    const options = { workflowApi: 'http://wf.example', endpoints };
    const { client, engine, local, port, bench } = await start(t, options);
    bench.setConfig({ jobs: { ...JOBS_CONFIG, maxStreams: 1 } });
    engine.change(JOB, { execution: 'succeeded' });
    local.set({ ...RUNNING, execution: 'failed' });
    const here = `http://127.0.0.1:${port}`;
    for (const [path, url, last] of [
        ['/service', options.workflowApi, { type: 'done', result: 'updated', changed: ['name'], image: {} }],
        ['/here', here, { type: 'error', execution: 'failed' }],
        ['/first', options.workflowApi, { type: 'done' }],
    ] as const) {
        t.equal((await client.post('/first?fail=')).error.message, 'no', 'fails before the first line');
        const answer = await client.post(path);
        t.equal(answer.header('workflow-api'), url);
        t.equal(answer.header('x-imgapi-copy'), 'updated');
        const lines = answer.text.trimEnd().split('\n');
        t.match(JSON.parse(lines[0] ?? ''), { type: 'job', result: 'updated', workflow_api: url });
        t.match(JSON.parse(lines.at(-1) ?? ''), last);
    }
});

void t.test('two hundred readers', async (t) => {
    const { client, engine } = await start(t);
    const readers = await Promise.all(Array.from({ length: 200 }, async () => LineReader.open(client, PATH)));
    const firsts = await Promise.all(
        readers.map(async (reader) => [await reader.next(), await reader.next()]),
    );
    t.ok(firsts.every((lines) => types(lines).join() === 'job,progress'));
    t.match((await client.get(PATH)).error, TOO_MANY);
    readers.slice(0, 100).forEach((reader) => reader.close());
    engine.change(JOB, { execution: 'succeeded' });
    const lasts = await Promise.all(
        readers.slice(100).map(async (reader) => (await reader.rest()).at(-1)?.['type']),
    );
    t.strictSame(new Set(lasts), new Set(['done']));
    await eventually(() => engine.waiting === 0);
});

void t.test('the end of the server', async (t) => {
    const { client, engine, role, server } = await start(t);
    const reader = await LineReader.open(client, PATH);
    await reader.until('progress');
    role.draining = true;
    server.endStreams();
    t.match(await reader.rest(), [{ type: 'closing', time: String }]);
    t.equal(engine.waiting, 0);
    const refused = await client.get(PATH);
    t.strictSame([refused.status, refused.error.message], [503, 'server is shutting down']);
});
