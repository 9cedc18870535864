// Sending an image to other datacenters: how many are asked at a time, what is told of copies there, also by
// those that cannot tell by themselves, and the talk on the wire (jobs-and-imports 8.5).
import { OutgoingError } from '#lib/base/http-errors.js';
import { merge } from '#lib/base/merge.js';
import {
    copyToDatacenters,
    followCopiesToDatacenters,
    type CopyOutRequest,
} from '#lib/jobs/datacenter/copy-to-datacenters.js';
import { followCopy, type CopyLine, type Following } from '#lib/jobs/datacenter/follow-copy.js';
import type { JsonObject, RawImage } from '#lib/manifest/types.js';
import type { AcceptedCopy, CopyToMake } from '#lib/remotes/copy-target.js';
import { HttpCopyTargets } from '#lib/remotes/imgapi/http-copy-target.js';
import { parseSourceAddress } from '#lib/remotes/source-address.js';
import t, { type Test } from 'tap';
import { sendJson } from '../doubles/http-service.js';
import { makeCopyBench, refusedBy, type CopyBench } from '../helpers/copy-bench.js';
import { refusal, refused } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';
import { makeClient, serve } from '../helpers/outgoing.js';
import { IMAGE, JOB, remote, stored } from '../helpers/wanted-copies.js';

const { vader } = USERS;
const EAST = 'http://user:secret@east.example.com/images-of-east';
const WEST = 'http://west.example.com';
const JOBS = 'http://jobs.example.com';
const ACCEPTED: AcceptedCopy = { jobUuid: JOB, result: 'started', changed: [], workflowApi: JOBS };
const COPY: CopyToMake = { uuid: IMAGE, account: vader, datacenter: 'here', sync: false, stream: true };

async function* linesOf(...lines: (JsonObject | Error)[]): AsyncGenerator<JsonObject, void, undefined> {
    for (const line of lines) {
        if (line instanceof Error) throw line;
        yield await Promise.resolve(line);
    }
}

async function all<T>(lines: AsyncIterable<T>): Promise<T[]> {
    const found: T[] = [];
    for await (const line of lines) found.push(line);
    return found;
}

async function start(t: Test): Promise<{ readonly b: CopyBench; readonly image: RawImage }> {
    const b = await makeCopyBench(t);
    const { raw } = await b.bench.plant(stored());
    return { b, image: raw };
}

function request(datacenters: string): CopyOutRequest {
    return { datacenters, sync: () => false };
}

void t.test('requests and results', async (t) => {
    const { b, image } = await start(t);
    const { targets, services } = b;
    targets.answers.set(EAST, () => Promise.resolve(ACCEPTED));
    const body = { code: 'ImageUuidAlreadyExists', message: 'taken' };
    targets.answers.set(WEST, () => Promise.reject(refusedBy(409, body)));
    const done = await copyToDatacenters(services, b.context(), image, {
        datacenters: 'all',
        sync: () => true,
    });
    t.strictSame(done, {
        image_uuid: IMAGE,
        results: [
            { datacenter: 'east', result: 'started', job_uuid: JOB, workflow_api: JOBS },
            { datacenter: 'west', result: 'failed', error: { ...body, statusCode: 409 } },
        ],
    });
    t.strictSame(
        targets.requests.map(({ url, ...copy }) => [url, copy]),
        [EAST, WEST].map((url) => [url, { ...COPY, sync: true, stream: false }]),
    );

    targets.answers.set(EAST, () => Promise.reject(refusedBy(500, 'garbage')));
    const none = await copyToDatacenters(services, b.context(), image, request('all')).catch(
        (error: unknown) => error,
    );
    t.match(none, {
        status: 503,
        code: 'RemoteSourceError',
        body: {
            code: 'RemoteSourceError',
            results: [
                {
                    error: {
                        code: 'RemoteSourceError',
                        statusCode: 503,
                        message: /Error from remote: HTTP status 500$/,
                    },
                },
                {},
            ],
        },
    });
    t.notMatch(JSON.stringify(none), 'secret');

    b.bench.setConfig({ imgapiUrlFromDatacenter: { here: 'http://here' } });
    const nobody = refused(422, 'ValidationFailed', 'no other datacenters are configured', [
        'datacenters',
        'Invalid',
    ]);
    t.strictSame(await refusal(copyToDatacenters(services, b.context(), image, request('all'))), nobody);
});

void t.test('four at a time', async (t) => {
    const { b, image } = await start(t);
    const names = Array.from({ length: 10 }, (_, i) => `dc-${i}`);
    const urls = names.map((name) => `http://${name}.example.com`);
    b.bench.setConfig({
        imgapiUrlFromDatacenter: Object.fromEntries(names.map((name, i) => [name, urls[i] ?? ''])),
    });
    let running = 0;
    let most = 0;
    for (const url of urls) {
        b.targets.answers.set(url, async () => {
            running += 1;
            most = Math.max(most, running);
            await new Promise((resolve) => setImmediate(resolve));
            running -= 1;
            return ACCEPTED;
        });
    }
    const { results } = await copyToDatacenters(b.services, b.context(), image, request(`all`));
    t.strictSame(
        results.map(({ datacenter }) => datacenter),
        names,
    );
    t.equal(most, 4);
});

void t.test('streams are joined', async (t) => {
    const { b, image } = await start(t);
    const job = { type: 'job', time: 'then', job_uuid: JOB };
    const lines = linesOf(
        job,
        { type: 'keepalive' },
        { type: 'progress', bytes_done: 1 },
        { type: 'done', x: 1 },
    );
    b.targets.answers.set(EAST, () => Promise.resolve({ ...ACCEPTED, lines }));
    const followed = await followCopiesToDatacenters(b.services, b.context(), image, request('all'));
    const told = await all(followed.lines(new AbortController().signal));
    const of = (name: string): CopyLine[] => told.filter(({ datacenter }) => datacenter === name);
    t.strictSame(of('east'), [
        { type: 'job', datacenter: 'east', time: 'then', job_uuid: JOB },
        { type: 'progress', datacenter: 'east', bytes_done: 1 },
        { type: 'done', datacenter: 'east', x: 1 },
    ]);
    t.match(of('west'), [
        { type: 'error', error: { code: 'RemoteSourceError', statusCode: 503 }, execution: null },
    ]);
    t.equal(told.length, 4);
});

function following(b: CopyBench): Following {
    const call = { requestId: 'r', signal: new AbortController().signal };
    return { services: b.services, context: b.context(), copy: COPY, call, pollMs: 1 };
}

function follow(b: CopyBench, accepted: AcceptedCopy): Promise<CopyLine[]> {
    const address = parseSourceAddress(EAST, 'config');
    if (address === undefined) throw new Error('no address');
    return all(followCopy(following(b), Promise.resolve({ datacenter: 'east', address, accepted })));
}

void t.test('a datacenter that does not tell is asked', async (t) => {
    const { b } = await start(t);
    b.source.images.set(IMAGE, remote());
    const running = { uuid: JOB, execution: 'running', chain_results: [] };
    const first = { name: 'import_image', result: 'ok', error: '' };
    const down = new OutgoingError('connect', 'refused');
    b.targets.jobs.set(JOB, [
        running,
        running,
        down,
        { ...running, chain_results: [first] },
        { ...running, execution: 'succeeded', chain_results: [first] },
    ]);
    t.strictSame(await follow(b, ACCEPTED), [
        {
            type: 'job',
            datacenter: 'east',
            job_uuid: JOB,
            image_uuid: IMAGE,
            result: 'started',
            workflow_api: JOBS,
        },
        ...[null, 'import_image'].map((step) => ({
            type: 'progress',
            datacenter: 'east',
            job_uuid: JOB,
            image_uuid: IMAGE,
            task: 'import-remote-image',
            execution: 'running',
            step,
            bytes_done: -1,
            bytes_total: -1,
        })),
        {
            type: 'done',
            datacenter: 'east',
            execution: 'succeeded',
            result: 'started',
            changed: [],
            image: remote(),
        },
    ]);
    t.equal(b.targets.looks.length, 5);

    await t.test('it may fail', async (t) => {
        const error = { name: 'DownloadError', restCode: 'Download', message: 'no such bytes' };
        b.targets.jobs.set(JOB, [{ uuid: JOB, execution: 'failed', chain_results: [{ ...first, error }] }]);
        t.strictSame((await follow(b, ACCEPTED)).at(-1), {
            type: 'error',
            datacenter: 'east',
            error: { code: 'Download', message: 'no such bytes' },
            execution: 'failed',
        });
        b.targets.jobs.set(JOB, [{ uuid: JOB, execution: 'canceled', chain_results: [] }]);
        t.match((await follow(b, ACCEPTED)).at(-1), { error: { code: 'Canceled' }, execution: 'canceled' });
    });

    await t.test('it may never answer again', async (t) => {
        b.targets.jobs.set(JOB, [down]);
        b.targets.looks.length = 0;
        t.match((await follow(b, ACCEPTED)).at(-1), { type: 'error', error: { code: 'RemoteSourceError' } });
        t.equal(b.targets.looks.length, 12);
    });

    await t.test('its stream may break off, or end early', async (t) => {
        b.targets.jobs.set(JOB, [{ uuid: JOB, execution: 'succeeded', chain_results: [first] }]);
        const job = { type: 'job', job_uuid: JOB };
        for (const lines of [
            linesOf(job, down),
            linesOf(job),
            linesOf(job, { type: 'closing' }, { type: 'done' }),
        ]) {
            const told = await follow(b, { ...ACCEPTED, lines });
            t.strictSame(
                told.map(({ type }) => type),
                ['job', 'done'],
            );
            t.equal(told.at(-1)?.['execution'], 'succeeded');
        }
    });

    await t.test('it may not say where', async (t) => {
        const told = await follow(b, { jobUuid: JOB, result: 'started', changed: [] });
        t.match(told, [{ type: 'job' }, { type: 'error', error: { code: 'RemoteSourceError' } }]);
    });
});

void t.test('merged sources', async (t) => {
    t.strictSame(await all(merge([])), []);
    const merged = await all(merge([linesOf({ a: 1 }, { a: 2 }), linesOf({ b: 1 })]));
    t.strictSame(
        new Set(merged.map((line) => JSON.stringify(line))),
        new Set(['{"a":1}', '{"a":2}', '{"b":1}']),
    );
    await t.rejects(all(merge([linesOf({ a: 1 }), linesOf(new Error('broken'))])), { message: 'broken' });
    let ended = false;
    const endless = async function* (): AsyncGenerator<number> {
        try {
            for (;;) yield await Promise.resolve(1);
        } finally {
            ended = true;
        }
    };
    for await (const one of merge([endless()])) {
        t.equal(one, 1);
        break;
    }
    await new Promise((resolve) => setImmediate(resolve));
    t.ok(ended);
});

void t.test('on the wire', async (t) => {
    const service = await serve(t, (request, response) => {
        const { path, query, method } = request;
        if (path.endsWith(`/jobs/${JOB}`)) {
            sendJson(response, 200, { uuid: JOB, execution: 'running' });
        } else if (query.get('account') === 'old') {
            const answer = { image_uuid: IMAGE, job_uuid: JOB };
            sendJson(response, 200, answer, { 'workflow-api': JOBS });
        } else if (query.get('account') === 'odd') {
            sendJson(response, 200, { image_uuid: IMAGE });
        } else {
            t.equal(method, 'POST');
            response.writeHead(200, { 'content-type': 'application/x-json-stream', 'workflow-api': JOBS });
            const first = {
                type: 'job',
                job_uuid: JOB,
                result: 'attached',
                workflow_api: 'http://elsewhere',
            };
            response.write(`${JSON.stringify(first)}\n\n{"type":"pro`);
            setImmediate(() => response.end('gress"}\n{"type":"done"}'));
        }
    });
    const { client } = makeClient(t);
    const address = parseSourceAddress(`${service.url}/base?channel=dev`, 'config');
    if (address === undefined) throw new Error('no address');
    const target = new HttpCopyTargets(() => Promise.resolve(client)).at(address);
    const call = { requestId: 'the-request', signal: new AbortController().signal };

    const { lines, ...accepted } = await target.request({ ...COPY, sync: true }, call);
    t.strictSame(accepted, { ...ACCEPTED, result: 'attached' });
    t.match(await all(lines ?? linesOf()), [{ type: 'job' }, { type: 'progress' }, { type: 'done' }]);
    const [asked] = service.requests;
    t.equal(asked?.path, `/base/images/${IMAGE}`);
    t.strictSame(Object.fromEntries(asked?.query ?? []), {
        action: 'import-from-datacenter',
        account: vader,
        datacenter: 'here',
        channel: 'dev',
        sync: 'true',
        progress: 'stream',
    });
    t.match(asked?.headers, { 'request-id': 'the-request', 'accept-version': '*' });

    t.strictSame(
        await target.request({ ...COPY, account: 'old' }, call),
        ACCEPTED,
        'one that knows nothing of streams',
    );
    const odd = await target.request({ ...COPY, account: 'odd' }, call).catch((error: unknown) => error);
    t.match(odd, { name: 'OutgoingError', kind: 'malformed' });
    t.match(await target.job(`${service.url}/`, JOB, call), { execution: 'running' });
});
