// Copies between real servers: chains with progress, a source that is killed on the way, placeholders,
// attaching, cancellation, failures, and copies of what is there already (jobs-and-imports 3.5, 8.2-8.4).
import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { ADMIN } from '../helpers/datacenter.js';
import type { Answer, Document } from '../helpers/http-client.js';
import { gzipFile, imageDirectory, sha1Hex, USERS, type Fixture } from '../helpers/images.js';
import type { LineReader } from '../helpers/line-reader.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { eventually } from '../helpers/server-process.js';
import { startSites, type Site } from '../helpers/sites.js';

const { vader, luke } = USERS;
const MIB = 1024 * 1024;
const PUBLISHED = '2024-05-06T07:08:09.000Z';

function image(number: number, changes: Partial<Fixture> = {}): Fixture & { readonly file: Buffer } {
    const uuid = `dc000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
    const file = gzipFile(`file of image ${number}`);
    return {
        uuid,
        name: `image-${number}`,
        owner: vader,
        activated: true,
        published_at: PUBLISHED,
        file,
        ...changes,
    };
}

/** Does not compress, so that it takes its time. */
const LARGE = gzipSync(randomBytes(6 * MIB), { level: 0 });

const BASE = image(1, { owner: ADMIN, public: true });
const FIRST = image(2, { disabled: true, file: LARGE, more: { origin: BASE.uuid } });
const SECOND = image(3, { disabled: true, more: { origin: FIRST.uuid } });
const LEAF = image(4, { more: { origin: SECOND.uuid, acl: [luke] }, tags: { role: 'web' } });
const CANCELED = image(5, { file: LARGE });
const BROKEN = image(6);
const STRAY = image(7, { more: { origin: image(8).uuid } });

const { east, west } = await startSites(t, {
    east: {
        images: [
            BASE,
            FIRST,
            SECOND,
            LEAF,
            CANCELED,
            BROKEN,
            STRAY,
            image(8, { owner: ADMIN, public: true }),
        ],
    },
    west: { images: [], moray: await startMorayPlace(t) },
});

function path({ uuid }: Fixture, more = '', account: string = vader): string {
    return `/images/${uuid}?action=import-from-datacenter&account=${account}&datacenter=east${more}`;
}

async function get(site: Site, { uuid }: Fixture): Promise<Document> {
    return (await site.client.get(`/images/${uuid}?account=${vader}`)).document;
}

/** Reads on to a line of progress that says this. */
async function progressWith(reader: LineReader, says: (line: Document) => boolean): Promise<Document> {
    for (;;) {
        const line = await reader.until('progress');
        if (says(line)) return line;
    }
}

/** A job as existing clients ask for it: where the header says, without credentials. */
async function jobOf(site: Site, answer: Answer): Promise<Document> {
    t.equal(answer.header('workflow-api'), site.server.url);
    return (await site.client.get(`/jobs/${String(answer.document['job_uuid'])}`)).document;
}

function jobEnd(site: Site, uuid: unknown): Promise<Document> {
    return eventually('the end of a job', 20_000, async () => {
        const { document } = await site.client.get(`/jobs/${String(uuid)}`);
        return document['execution'] === 'queued' || document['execution'] === 'running'
            ? undefined
            : document;
    });
}

/** Nothing but images may stay behind. */
function leftIn(site: Site): string[] {
    return readdirSync(join(site.baseDir, 'staging'));
}

await t.test('the base image is there already', async (t) => {
    const answer = await west.client.post(
        `/images/${BASE.uuid}?action=import&skip_owner_check=true&source=${east.url}`,
    );
    t.equal(answer.status, 200, answer.text);
    t.equal((await west.client.put(`/images/${BASE.uuid}/file?source=${east.url}`, undefined)).status, 200);
    t.equal((await west.client.post(`/images/${BASE.uuid}?action=activate`)).status, 200);
});

await t.test('a chain is copied while its source is killed and comes back', async (t) => {
    const asked = await west.client.post(path(LEAF, '&do_not_restart=true'));
    t.match(asked.error, { code: 'ResourceNotFound', message: `no copy of image ${LEAF.uuid} is running` });

    east.relay.hold(2 * MIB);
    const reader = await west.stream(path(LEAF, '&progress=stream'));
    t.equal(reader.status, 200);
    t.equal(reader.header('x-imgapi-copy'), 'started');
    t.equal(reader.header('workflow-api'), west.server.url);
    const job = await reader.next();
    t.match(job, { type: 'job', image_uuid: LEAF.uuid, result: 'started', workflow_api: west.server.url });
    t.match(await progressWith(reader, (line) => Number(line['bytes_done']) >= MIB), {
        job_uuid: job['job_uuid'],
        execution: 'running',
        step: 'origin_import_images',
        current_image: FIRST.uuid,
        images_total: 3,
        bytes_total: LARGE.length + SECOND.file.length + LEAF.file.length,
    });

    await t.test('meanwhile', async (t) => {
        t.match(await get(west, LEAF), {
            state: 'creating',
            name: LEAF.name,
            files: [],
            origin: SECOND.uuid,
        });
        t.notOk('expires_at' in (await get(west, LEAF)));
        t.equal(
            (await west.client.get(`/images/${LEAF.uuid}?account=${luke}`)).status,
            404,
            'only for its owner',
        );
        for (const [more, old] of [
            ['', true],
            ['&sync=true', false],
            ['&do_not_restart=true', false],
        ] as const) {
            const answer = await west.client.post(path(LEAF, more));
            t.equal(answer.header('x-imgapi-copy'), 'attached');
            const keys = old ? {} : { result: 'attached', changed: [] };
            t.strictSame(answer.document, { image_uuid: LEAF.uuid, job_uuid: job['job_uuid'], ...keys });
        }
        const progress = await west.client.get(`/images/${SECOND.uuid}/progress?account=${vader}`);
        t.equal(progress.document['job_uuid'], job['job_uuid'], 'origins are covered');
    });

    await east.kill();
    east.relay.cut();
    await east.restart();
    // The rest of the file is held, too.
    const resumed = await progressWith(reader, (line) => Number(line['resumed_from']) > 0);
    t.ok(Number(resumed['resumed_from']) >= MIB, `went on at byte ${String(resumed['resumed_from'])}`);
    t.match(resumed, { current_image: FIRST.uuid, attempt: 1 });
    east.relay.release();
    const lines = await reader.rest();
    t.match(lines.at(-1), {
        type: 'done',
        execution: 'succeeded',
        result: 'started',
        changed: [],
        image: { uuid: LEAF.uuid, state: 'active' },
    });
    t.strictSame(
        reader.lines
            .filter(({ type }) => type === 'image')
            .map(({ image_uuid: uuid, state }) => [uuid, state]),
        [
            [FIRST.uuid, 'disabled'],
            [SECOND.uuid, 'disabled'],
            [LEAF.uuid, 'active'],
        ],
    );
    t.notOk(
        reader.lines.some(({ attempt }) => Number(attempt) > 1),
        'never from zero',
    );
    const done = reader.lines
        .filter(({ type }) => type === 'progress')
        .map((line) => Number(line['bytes_done']));
    t.strictSame(
        done,
        [...done].sort((a, b) => a - b),
        'the number of bytes never goes back',
    );
    const ranges = east.server.log.filter(
        (record) => (record['res'] as Document | undefined)?.['statusCode'] === 206,
    );
    t.ok(ranges.length > 0, 'the source was asked for the rest only');
});

await t.test('what was copied', async (t) => {
    for (const fixture of [FIRST, SECOND, LEAF]) {
        const { file } = fixture;
        const found = (await west.client.get(`/images/${fixture.uuid}?inclProvenance=true`)).document;
        t.match(found, {
            owner: vader,
            name: fixture.name,
            published_at: PUBLISHED,
            origin: fixture.more?.['origin'],
            state: fixture.disabled === true ? 'disabled' : 'active',
            files: [{ sha1: sha1Hex(file), size: file.length, compression: 'gzip' }],
            provenance: {
                kind: 'copy',
                source_image: fixture.uuid,
                source_owner: vader,
                source_datacenter: 'east',
            },
        });
        t.ok((await west.client.get(`/images/${fixture.uuid}/file`)).body.equals(file));
    }
    t.match(await get(west, LEAF), { acl: [luke], tags: { role: 'web' } });
    t.strictSame(leftIn(west), []);
});

await t.test('copied again', async (t) => {
    const first = await west.client.post(path(LEAF));
    t.match([first.status, first.error.code], [409, 'ImageUuidAlreadyExists']);
    const current = await west.client.post(path(LEAF, '&do_not_restart=true'));
    t.match(current.document, { result: 'current', changed: [] });
    t.match(await jobOf(west, current), { execution: 'succeeded', image_uuid: LEAF.uuid });

    const changes = { description: 'new', tags: { role: 'db' }, acl: [] };
    t.equal((await east.client.post(`/images/${LEAF.uuid}?action=update`, changes)).status, 200);
    const updated = await west.client.post(path(LEAF, '&sync=true'));
    t.match(updated.document, { result: 'updated', changed: ['description', 'acl', 'tags'] });
    t.equal(updated.header('x-imgapi-copy'), 'updated');
    t.match(await jobOf(west, updated), {
        name: 'recopy-image-8.0.0',
        task: 'import-remote-image',
        execution: 'succeeded',
        chain_results: [{ result: 'Updated fields: description, acl, tags', error: '' }],
    });
    const found = await get(west, LEAF);
    t.match(found, { description: 'new', tags: { role: 'db' }, state: 'active', published_at: PUBLISHED });
    t.notOk('acl' in found);

    const reader = await west.stream(path(LEAF, '&progress=stream'));
    t.equal(reader.header('x-imgapi-copy'), 'unchanged');
    const lines = await reader.rest();
    t.match(lines[0], { type: 'job', result: 'unchanged' });
    t.match(lines.at(-1), { type: 'done', result: 'unchanged', changed: [], image: { description: 'new' } });
});

await t.test('refusals leave nothing behind', async (t) => {
    const unknown = image(99);
    const remote = await east.client.get(`/images/${unknown.uuid}?account=${vader}`);
    const passed = await west.client.post(path(unknown));
    t.strictSame([passed.status, passed.json], [404, remote.json], 'the words of the other side');
    const shared = await west.client.post(path(BASE, '&sync=true'));
    t.match([shared.status, shared.error.code], [401, 'UnauthorizedError']);
    const disabled = await west.client.post(path(FIRST, '&sync=true'));
    t.match([disabled.status, disabled.error.code], [422, 'ValidationFailed']);
    const origin = await west.client.post(path(STRAY, '&sync=true'));
    t.match([origin.status, origin.error.code], [404, 'ResourceNotFound']);
    const progress = await west.client.post(path(LEAF, '&progress=yes'));
    t.match(progress.error, {
        code: 'InvalidParameter',
        message: 'invalid progress: "yes"',
        errors: [{ field: 'progress', code: 'Invalid' }],
    });
    for (const fixture of [unknown, STRAY]) {
        t.equal((await west.client.get(`/images/${fixture.uuid}`)).status, 404);
    }
});

await t.test('a canceled copy takes its placeholder with it', async (t) => {
    east.relay.hold(2 * MIB);
    const started = await west.client.post(path(CANCELED, '&sync=true'));
    t.match(started.document, { result: 'started' });
    const uuid = String(started.document['job_uuid']);
    await eventually('bytes on the way', 10_000, async () => {
        const { document } = await west.client.get(`/jobs/${uuid}/progress`);
        return Number(document['bytes_done']) >= MIB;
    });
    const reader = await west.stream(path(CANCELED, '&progress=stream'));
    t.match(await reader.next(), { type: 'job', result: 'attached', job_uuid: uuid });
    t.equal((await west.client.post(`/jobs/${uuid}/cancel`)).status, 200);
    t.match((await reader.rest()).at(-1), {
        type: 'error',
        error: { code: 'Canceled' },
        execution: 'canceled',
    });
    east.relay.release();
    await eventually('the placeholder to go', 10_000, async () => {
        return (await west.client.get(`/images/${CANCELED.uuid}`)).status === 404;
    });
    await eventually('the part file to go', 10_000, () => leftIn(west).length === 0);
});

/** The bytes that an image's file is made of at its source. */
function setFile(fixture: Fixture, bytes: Buffer): void {
    writeFileSync(join(imageDirectory(east.baseDir, fixture.uuid), 'file0'), bytes);
}

async function expectFailed(t: Test, reader: LineReader): Promise<void> {
    const lines = await reader.rest();
    t.match(lines.at(-1), { type: 'error', error: { code: 'Download' }, execution: 'failed' });
    const message = (lines.at(-1)?.['error'] as Document)['message'];
    t.match(await get(west, BROKEN), { state: 'failed', error: { code: 'Download', message } });
    const watched = await west.client.post(path(BROKEN, '&do_not_restart=true'));
    t.match(watched.error, {
        code: 'ValidationFailed',
        message: `copy of image ${BROKEN.uuid} failed: ${String(message)}`,
        errors: [{ field: 'state', code: 'Invalid' }],
    });
}

await t.test('a copy that has failed starts again', async (t) => {
    setFile(BROKEN, Buffer.alloc(BROKEN.file.length, 1));
    await expectFailed(t, await west.stream(path(BROKEN, '&progress=stream')));
    const again = await west.client.post(path(BROKEN));
    t.equal(again.header('x-imgapi-copy'), 'started', 'also for those who know nothing of it');
    t.match(await jobEnd(west, again.document['job_uuid']), { execution: 'failed' });
    t.equal(
        (await west.client.get(`/images/${BROKEN.uuid}`)).status,
        404,
        'without placeholder nothing stays',
    );

    setFile(BROKEN, BROKEN.file);
    const started = await west.client.post(path(BROKEN, '&sync=true'));
    t.match(started.document, { result: 'started' });
    t.match(await jobEnd(west, started.document['job_uuid']), { execution: 'succeeded' });
    t.match(await get(west, BROKEN), { state: 'active' });
});

await t.test('two requests at once', async (t) => {
    const [one, other] = await Promise.all([
        west.client.post(path(CANCELED, '&sync=true')),
        west.client.post(path(CANCELED)),
    ]);
    t.equal(one.document['job_uuid'], other.document['job_uuid']);
    t.strictSame([one, other].map((answer) => answer.header('x-imgapi-copy')).sort(), [
        'attached',
        'started',
    ]);
    t.match(await jobEnd(west, one.document['job_uuid']), { execution: 'succeeded' });
    t.match(await get(west, CANCELED), { state: 'active' });
});
