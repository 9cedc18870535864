// Copies between datacenters of which one has a workflow service run its jobs (jobs-and-imports 3.5, 3.6, 8.2-8.4).
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { ADMIN } from '../helpers/datacenter.js';
import type { Document } from '../helpers/http-client.js';
import { gzipFile, imageDirectory, USERS, type Fixture } from '../helpers/images.js';
import { eventually } from '../helpers/server-process.js';
import { startSites, type Site } from '../helpers/sites.js';
import { startWorkflowService, WORKFLOW_NAMES } from '../helpers/workflow-engines.js';

const { vader } = USERS;
const MIB = 1024 * 1024;

function image(number: number, changes: Partial<Fixture> = {}): Fixture & { readonly file: Buffer } {
    return {
        uuid: `dd000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
        name: `image-${number}`,
        owner: vader,
        activated: true,
        published_at: '2024-05-06T07:08:09.000Z',
        file: gzipFile(`file of image ${number}`),
        ...changes,
    };
}

/** Does not compress, so that it takes its time. */
const LARGE = gzipSync(randomBytes(3 * MIB), { level: 0 });

const BASE = image(1, { owner: ADMIN, public: true });
const FIRST = image(2, { disabled: true, file: LARGE, more: { origin: BASE.uuid } });
const LEAF = image(3, { more: { origin: FIRST.uuid }, tags: { role: 'web' } });
const CANCELED = image(4, { file: LARGE });
const BROKEN = image(5);

const service = await startWorkflowService(t);
const wfapi = { url: service.url, workflows: WORKFLOW_NAMES };
const { east, west, north } = await startSites(t, {
    east: { images: [BASE, FIRST, LEAF, CANCELED, BROKEN] },
    west: { images: [BASE], config: { wfapi } },
    north: { images: [BASE] },
});
service.aim({ imgapiUrl: west.server.url });
await west.server.waitForLog(({ msg }) => msg === 'workflows are registered');

function path({ uuid }: Fixture, more = ''): string {
    return `/images/${uuid}?action=import-from-datacenter&account=${vader}&datacenter=east${more}`;
}

async function state(site: Site, { uuid }: Fixture): Promise<unknown> {
    const { status, document } = await site.client.get(`/images/${uuid}?account=${vader}`);
    return status === 200 ? document['state'] : status;
}

function jobEnd(site: Site, uuid: unknown): Promise<Document> {
    return eventually('the end of a job', 20_000, async () => {
        const { document } = await site.client.get(`/jobs/${String(uuid)}`);
        return ['succeeded', 'failed', 'canceled'].includes(String(document['execution'])) && document;
    });
}

/** A record without what says when it was made. */
function timeless({ baseDir }: Site, { uuid }: Fixture): unknown {
    const text = readFileSync(join(baseDir, 'manifests', `${uuid}.raw`), 'utf8');
    return JSON.parse(text, (key, value: unknown) => (['mtime', 'at'].includes(key) ? 'then' : value));
}

await t.test('a chain, told of as it comes, makes the same records as the embedded engine', async (t) => {
    east.relay.hold(2 * MIB);
    const reader = await west.stream(path(LEAF, '&progress=stream'));
    t.same(
        [reader.status, reader.header('x-imgapi-copy'), reader.header('workflow-api')],
        [200, 'started', service.url],
    );
    const job = await reader.next();
    t.match(job, { type: 'job', image_uuid: LEAF.uuid, result: 'started', workflow_api: service.url });
    for (;;) {
        const line = await reader.until('progress');
        if (Number(line['bytes_done']) < MIB) continue;
        t.match(line, {
            job_uuid: job['job_uuid'],
            execution: 'running',
            step: 'origin_import_images',
            current_image: FIRST.uuid,
            images_total: 2,
            bytes_total: LARGE.length + LEAF.file.length,
        });
        break;
    }
    t.equal(await state(west, LEAF), 'creating', 'a placeholder');
    for (const [more, keys] of [
        ['', {}],
        ['&do_not_restart=true', { result: 'attached', changed: [] }],
    ] as const) {
        const answer = await west.client.post(path(LEAF, more));
        t.equal(answer.header('x-imgapi-copy'), 'attached');
        t.strictSame(answer.document, { image_uuid: LEAF.uuid, job_uuid: job['job_uuid'], ...keys });
    }
    east.relay.release();
    const lines = await reader.rest();
    t.match(lines.at(-1), {
        type: 'done',
        execution: 'succeeded',
        image: { uuid: LEAF.uuid, state: 'active' },
    });
    t.strictSame(
        reader.lines
            .filter(({ type }) => type === 'image')
            .map((line) => [line['image_uuid'], line['state']]),
        [
            [FIRST.uuid, 'disabled'],
            [LEAF.uuid, 'active'],
        ],
    );
    const other = await north.client.post(path(LEAF, '&sync=true'));
    t.match(await jobEnd(north, other.document['job_uuid']), { execution: 'succeeded' });
    for (const one of [FIRST, LEAF]) t.same(timeless(west, one), timeless(north, one), one.name);
});

await t.test('copied again: a job of this server', async (t) => {
    const answer = await west.client.post(path(LEAF, '&sync=true'));
    t.match(answer.document, { result: 'unchanged' });
    t.equal(answer.header('workflow-api'), west.server.url);
    const uuid = String(answer.document['job_uuid']);
    const names = { name: 'recopy-image-8.0.0', execution: 'succeeded', engine: 'embedded' };
    t.match((await west.client.get(`/jobs/${uuid}`)).document, names);
    t.match((await west.client.get('/jobs?engine=embedded')).document, [{ uuid, ...names }]);
});

await t.test('a copy that fails leaves its placeholder, and starts again', async (t) => {
    const bytes = join(imageDirectory(east.baseDir, BROKEN.uuid), 'file0');
    writeFileSync(bytes, Buffer.alloc(BROKEN.file.length, 1));
    const failed = await west.client.post(path(BROKEN, '&sync=true'));
    t.match(await jobEnd(west, failed.document['job_uuid']), {
        execution: 'failed',
        onerror_results: [{ name: 'delete_image', result: `Image ${BROKEN.uuid} updated with import error` }],
    });
    const { document } = await west.client.get(`/images/${BROKEN.uuid}?account=${vader}`);
    t.match(document, { state: 'failed', error: { code: 'Download', message: /sha1/ } });
    t.match(timeless(west, BROKEN), { expires_at: String }, 'it goes some time');
    const watched = await west.client.post(path(BROKEN, '&do_not_restart=true'));
    t.match(watched.error, { code: 'ValidationFailed', message: /^copy of image .* failed: / });

    writeFileSync(bytes, BROKEN.file);
    const again = await west.client.post(path(BROKEN, '&sync=true'));
    t.match(again.document, { result: 'started' });
    t.match(await jobEnd(west, again.document['job_uuid']), { execution: 'succeeded' });
    t.equal(await state(west, BROKEN), 'active');
    t.notMatch(timeless(west, BROKEN), { expires_at: String });
});

await t.test('a canceled copy takes its placeholder with it', async (t) => {
    // What has passed on a connection so far would count.
    east.relay.cut();
    east.relay.hold(2 * MIB);
    const started = await west.client.post(path(CANCELED, '&sync=true'));
    const uuid = String(started.document['job_uuid']);
    await eventually('bytes on the way', 10_000, async () => {
        const { document } = await west.client.get(`/jobs/${uuid}/progress`);
        return Number(document['bytes_done']) >= MIB;
    });
    t.equal((await west.client.post(`/jobs/${uuid}/cancel`)).status, 200);
    await eventually('the image to go', 15_000, async () => (await state(west, CANCELED)) === 404);
    east.relay.release();
    t.match(await jobEnd(west, uuid), { execution: 'canceled' });
});

await t.test('a job that cannot be started leaves no placeholder', async (t) => {
    service.intercept = ({ method, path: asked }) =>
        method === 'POST' && asked === '/jobs'
            ? { status: 500, body: { code: 'InternalError', message: 'no connection' } }
            : undefined;
    const refused = await west.client.post(path(CANCELED, '&sync=true'));
    t.match([refused.status, refused.error], [500, { code: 'InternalError', message: 'no connection' }]);
    t.equal(await state(west, CANCELED), 404);
    service.intercept = () => undefined;
});
