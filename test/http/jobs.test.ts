// Jobs of a running server: an import as its clients follow it, jobs of earlier processes, a second process
// beside the one that runs them, cancellation, and the end of the server (jobs-and-imports 8.3, 9.3-9.5, 9.10).
import { randomBytes, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import { LineReader } from '../helpers/line-reader.js';
import { expectError, notFound, UNAUTHORIZED } from '../helpers/rows.js';
import { eventually, LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { createKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

/** Files are sent up to here, and then wait. */
const HALF = 100_000;
const BYTES = randomBytes(2 * HALF);

const CANCELED = { code: 'Canceled' };

/** Another image server, and servers of ours on one base directory. */
class Place {
    readonly source = new ImageServerDouble();
    readonly baseDir = temporaryDirectory();
    readonly key = createKey('operator');
    readonly #running = new Set<ServerProcess>();

    static async make(t: Test): Promise<Place> {
        const place = new Place();
        await place.source.start();
        t.teardown(async () => place.#end());
        return place;
    }

    async start(): Promise<{ readonly server: ServerProcess; readonly client: HttpClient }> {
        const server = await ServerProcess.start({
            baseDir: this.baseDir,
            config: { authKeys: { operator: [this.key.publicLine] }, shutdownTimeoutSec: 20 },
        });
        this.#running.add(server);
        return { server, client: new HttpClient(server.port, this.key) };
    }

    async stop(server: ServerProcess): Promise<void> {
        this.#running.delete(server);
        await expectCleanEnd(server);
    }

    /** An image there whose file waits half way. */
    offer(origin?: string): { readonly uuid: string; readonly gate: Gate } {
        const uuid = randomUUID();
        const gate = new Gate();
        const more = origin === undefined ? {} : { origin };
        this.source.add({ uuid, public: false, ...more }, [{ bytes: BYTES, gate: { at: HALF, gate } }]);
        return { uuid, gate };
    }

    /** Starts the import of an image. */
    async import(client: HttpClient, uuid: string): Promise<Answer> {
        const [scheme, rest] = this.source.address.split('//');
        const source = encodeURIComponent(`${scheme ?? ''}//u:secret@${rest ?? ''}`);
        return client.post(`/images/${uuid}?action=import-remote&source=${source}&skip_owner_check=true`);
    }

    async #end(): Promise<void> {
        for (const server of this.#running) await expectCleanEnd(server);
        await this.source.stop();
        rmSync(this.baseDir, { recursive: true, force: true });
    }
}

/** Waits until half of a file has been sent. */
async function halfWay(gate: Gate): Promise<void> {
    await eventually('half of the file', 10_000, () => gate.waiting > 0);
}

function types(lines: readonly Document[]): unknown[] {
    return lines.map((line) => line['type']);
}

const place = await Place.make(t);
const first = await place.start();

await t.test('an import, from its start to its end', async (t) => {
    const { server, client } = first;
    const guest = new HttpClient(server.port);
    const base = place.offer();
    const { uuid, gate } = place.offer(base.uuid);
    base.gate.resume();
    const started = await place.import(client, uuid);
    t.equal(started.status, 200, started.text);
    const job = String(started.document['job_uuid']);
    t.strictSame(started.json, { image_uuid: uuid, job_uuid: job });
    t.equal(started.header('workflow-api'), server.url);

    // As existing clients wait: without credentials, under the URL of the header.
    const streams = [
        await LineReader.open(guest, `/jobs/${job}/progress?stream=true`),
        await LineReader.open(guest, `/images/${uuid}/progress?stream=true`),
        await LineReader.open(guest, `/images/${base.uuid}/progress?stream=true`),
    ];
    await halfWay(gate);
    const half = await eventually('half of the file', 10_000, async () => {
        const { document } = await guest.get(`/jobs/${job}/progress`);
        return document['image_bytes_done'] === HALF && document;
    });
    t.match(half, {
        job_uuid: job,
        image_uuid: uuid,
        task: 'import-remote-image',
        execution: 'running',
        current_image: uuid,
        images_done: 1,
        images_total: 2,
        bytes_done: 3 * HALF,
        bytes_total: 4 * HALF,
        image_bytes_total: 2 * HALF,
        attempt: 1,
        resumed_from: 0,
        error: null,
    });
    t.match((await guest.get(`/jobs/${job}`)).document, {
        uuid: job,
        execution: 'running',
        engine: 'embedded',
    });
    t.strictSame((await client.get('/jobs?execution=running')).uuids, [job]);
    t.strictSame(
        (await guest.get(`/images/${base.uuid}/jobs`)).list,
        [],
        'jobs for it, not on the way to others',
    );
    gate.resume();

    for (const stream of streams) {
        const lines = await stream.rest();
        t.strictSame(types(lines).slice(0, 2), ['job', 'progress']);
        const images = lines.filter(({ type }) => type === 'image');
        t.strictSame(
            images.map(({ image_uuid, state }) => [image_uuid, state]),
            [
                [base.uuid, 'active'],
                [uuid, 'active'],
            ],
        );
        t.match(lines.at(-1), { type: 'done', execution: 'succeeded', image: { uuid, origin: base.uuid } });
        const done = lines
            .filter(({ type }) => type === 'progress')
            .map((line) => Number(line['bytes_done']));
        t.strictSame(
            done,
            [...done].sort((a, b) => a - b),
            'the numbers only grow',
        );
    }
    const ended = (await guest.get(`/jobs/${job}`)).document;
    t.equal(ended['execution'], 'succeeded');
    t.notMatch(JSON.stringify(ended), /secret/);
    t.notOk(server.log.some((record) => JSON.stringify(record).includes('secret')));
    t.strictSame((await guest.get(`/images/${uuid}/jobs`)).uuids, [job]);
    t.match((await guest.get(`/jobs/${job}/progress`)).document, { bytes_done: 4 * HALF, images_done: 2 });
});

await t.test('who may ask for what', async (t) => {
    const { server, client } = first;
    const guest = new HttpClient(server.port);
    const { uuid, gate } = place.offer();
    const job = String((await place.import(client, uuid)).document['job_uuid']);
    await halfWay(gate);
    for (const [method, path] of [
        ['GET', '/jobs'],
        ['POST', `/jobs/${job}/cancel`],
    ] as const) {
        expectError(t, await guest.request(method, path), UNAUTHORIZED, path);
    }
    for (const path of ['', '/info', '/progress']) {
        t.equal((await guest.get(`/jobs/${job}${path}`)).status, 200, path);
    }
    const stream = await LineReader.open(guest, `/jobs/${job}/progress?stream=true`);
    await stream.until('progress');

    const canceled = await client.post(`/jobs/${job}/cancel`);
    t.match(canceled.document, { uuid: job, execution: 'canceled' });
    t.match((await stream.rest()).at(-1), { type: 'error', error: CANCELED, execution: 'canceled' });
    await eventually(
        'the image is gone',
        10_000,
        async () => (await client.get(`/images/${uuid}`)).status === 404,
    );
    t.equal((await client.post(`/jobs/${job}/cancel`)).error.message, 'Finished jobs cannot be canceled');
    gate.resume();
});

await t.test('another process beside the one that runs the jobs', async (t) => {
    const { client } = first;
    const other = await place.start();
    const { uuid, gate } = place.offer();
    const job = String((await place.import(client, uuid)).document['job_uuid']);
    await halfWay(gate);
    t.equal((await other.client.post(`/jobs/${job}/cancel`)).error.message, 'this process is a reader');
    const stream = await LineReader.open(other.client, `/jobs/${job}/progress?stream=true`);
    t.match(await stream.next(), { type: 'job', job_uuid: job, workflow_api: other.server.url });
    t.match(await stream.next(), { type: 'progress', execution: 'running' });
    t.strictSame((await other.client.get('/jobs?execution=running')).uuids, [job]);
    gate.resume();
    t.match((await stream.rest()).at(-1), { type: 'done', image: { uuid } });
    await place.stop(other.server);
});

await t.test('the end of the server, and the next one', async (t) => {
    const { uuid, gate } = place.offer();
    const job = String((await place.import(first.client, uuid)).document['job_uuid']);
    await halfWay(gate);
    const path = `/jobs/${job}/progress?stream=true`;
    const streams = await Promise.all([1, 2, 3].map(async () => LineReader.open(first.client, path)));
    await Promise.all(streams.map(async (stream) => stream.until('progress')));
    // Never read: nobody waits for it.
    await first.client.download(path);
    const begun = Date.now();
    await place.stop(first.server);
    t.ok(Date.now() - begun < 10_000, 'it does not wait for the job, nor for those who follow it');
    for (const stream of streams) {
        t.match((await stream.rest()).at(-1), { type: 'closing', time: String });
    }
    const second = await place.start();
    const again = await LineReader.open(second.client, path);
    t.match(await again.next(), { type: 'job', job_uuid: job });
    gate.resume();
    t.match((await again.rest()).at(-1), { type: 'done', image: { uuid } });
    const unknown = randomUUID();
    expectError(
        t,
        await second.client.get(`/images/${unknown}/progress`),
        notFound(`no job found for image ${unknown}`),
        'nothing else is known',
    );
});
