// Copies from another datacenter: the checks and their order, placeholders, what dead jobs have left, and that
// nothing is left when no job starts (jobs-and-imports 3.5, 8.2, 8.4).
import { serviceUnavailable } from '#lib/base/errors.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { importFromDatacenter } from '#lib/jobs/datacenter/import-from-datacenter.js';
import type { JsonObject } from '#lib/manifest/types.js';
import t from 'tap';
import { refusedBy } from '../helpers/copy-bench.js';
import { refusal, refused, type Refusal } from '../helpers/image-bench.js';
import { NOBODY, USERS } from '../helpers/images.js';
import { eventually } from '../helpers/server-process.js';
import {
    BASE,
    COPY,
    copy,
    DEAD_JOB,
    IMAGE,
    JOB,
    ORIGIN,
    remote,
    SHA1,
    startCopyBench,
    stored,
    unfinished,
    WISHES,
} from '../helpers/wanted-copies.js';

const { vader, luke, sdc } = USERS;
const EXISTS = refused(409, 'ImageUuidAlreadyExists', `image uuid "${IMAGE}" already exists`);

void t.test('checks, in order', async (t) => {
    const b = await startCopyBench(t);
    const { services, source } = b;
    const ask = (account: string | undefined, datacenter: string | undefined): Promise<Refusal> =>
        refusal(
            importFromDatacenter(
                services,
                b.context(account === undefined ? { account: '' } : { account }),
                IMAGE,
                {
                    datacenter,
                    wish: () => {
                        throw new Error('its turn has not come');
                    },
                },
            ),
        );
    const notUuid = 'invalid image "account" (not a UUID): ';
    t.strictSame(
        await ask('vader', undefined),
        refused(422, 'ValidationFailed', `${notUuid}vader`, ['account', 'Invalid']),
    );
    t.strictSame(
        await ask(vader, undefined),
        refused(422, 'ValidationFailed', 'missing datacenter parameter', ['datacenter', 'MissingParameter']),
    );
    const valid = 'valid datacenters names are: east, west';
    for (const name of ['south', '__proto__']) {
        t.strictSame(
            await ask(vader, name),
            refused(422, 'ValidationFailed', `datacenter "${name}" is not supported, ${valid}`, [
                'datacenter',
                'Invalid',
            ]),
        );
    }
    t.strictSame(
        await ask(vader, 'here'),
        refused(422, 'ValidationFailed', `cannot import into the same datacenter, ${valid}`, [
            'datacenter',
            'Invalid',
        ]),
    );
    t.strictSame(source.asked, [], 'nobody was asked so far');

    const answer = async (image: JsonObject | OutgoingError): Promise<Refusal> => {
        source.images.set(IMAGE, image);
        return refusal(copy(b));
    };
    const manifestOf = `Unable to get manifest for image ${IMAGE}. Error from remote: `;
    t.strictSame(
        await answer(new OutgoingError('timeout', 'GET http://east: no answer')),
        refused(503, 'RemoteSourceError', `${manifestOf}timeout`),
    );
    t.strictSame(
        await answer(refusedBy(502, undefined)),
        refused(503, 'RemoteSourceError', `${manifestOf}HTTP status 502`),
        'what something in between says is not passed on',
    );
    const inactive = refused(422, 'ValidationFailed', `Cannot import image ${IMAGE} - image is not active.`, [
        'state',
        'Invalid',
    ]);
    t.strictSame(await answer(remote({ state: 'disabled', owner: luke })), inactive);
    await b.bench.plant(stored());
    const notOwner = `Cannot import image ${IMAGE} - you are not the owner.`;
    t.strictSame(await answer(remote({ owner: luke })), refused(401, 'UnauthorizedError', notOwner));
    t.strictSame(await answer(remote()), EXISTS, 'that it is here is told last');
    t.equal(source.asked.at(-1), `http://east.example.com/images-of-east ${IMAGE} ${vader}`);
});

void t.test('what the other datacenter refuses is refused with its words', async (t) => {
    const b = await startCopyBench(t);
    const body = { code: 'NotFoundError', message: 'image not found', extra: [1] };
    b.source.images.set(IMAGE, refusedBy(404, body, { 'retry-after': '7', server: 'x' }));
    const error = await copy(b).then(
        () => undefined,
        (thrown: unknown) => thrown,
    );
    t.match(error, { status: 404, body, headers: { 'Retry-After': '7' } });
    t.notHas(error, { headers: { server: 'x' } });
});

void t.test('origins', async (t) => {
    const b = await startCopyBench(t);
    const { source } = b;
    const missing = `Unable to import - origin image ${BASE} must already exist in the datacenter (as this image is not owned by you).`;
    source.images.set(IMAGE, remote({ origin: ORIGIN }));
    source.images.set(ORIGIN, remote({ uuid: ORIGIN, state: 'disabled', disabled: true, origin: BASE }));
    source.images.set(BASE, remote({ uuid: BASE, owner: sdc, public: true }));
    t.strictSame(await refusal(copy(b)), refused(404, 'ResourceNotFound', missing));
    source.images.set(ORIGIN, refusedBy(403, { code: 'Forbidden', message: 'no' }));
    t.equal((await refusal(copy(b))).status, 403, 'passed through, too');
    source.images.set(ORIGIN, remote({ uuid: ORIGIN, origin: IMAGE }));
    const circle = refused(500, 'InternalError', 'Origin chain too long, exceeds 100 images');
    t.strictSame(await refusal(copy(b)), circle);
    source.images.set(ORIGIN, remote({ uuid: ORIGIN, origin: '../../x' }));
    t.equal((await refusal(copy(b))).status, 422);
    t.equal(b.engine.started.length, 0);

    source.images.set(ORIGIN, remote({ uuid: ORIGIN, state: 'disabled', disabled: true, origin: BASE }));
    await b.bench.plant(stored({ uuid: BASE, owner: sdc, public: true }));
    const { jobUuid } = await copy(b);
    const [job] = b.engine.started;
    t.strictSame(job?.params, {
        origins: [ORIGIN],
        image_uuid: IMAGE,
        req_id: 'c6a2b4d8-0000-4000-8000-000000000001',
        source: 'http://user:secret@east.example.com/images-of-east',
        skip_owner_check: false,
        import_id: jobUuid,
        account: vader,
        datacenter: 'east',
    });

    const long = Array.from(
        { length: 102 },
        (_, i) => `cc000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    );
    for (const [i, uuid] of long.entries()) {
        const origin = long[i + 1];
        source.images.set(uuid, remote({ uuid, ...(origin === undefined ? {} : { origin }) }));
    }
    t.strictSame(await refusal(copy(b, WISHES.plain, long[0])), circle);
});

void t.test('the words of refusals', async (t) => {
    const b = await startCopyBench(t);
    t.strictSame(
        await refusal(copy(b, WISHES.watch)),
        refused(404, 'ResourceNotFound', `no copy of image ${IMAGE} is running`),
    );
    await b.bench.plant(unfinished('failed', DEAD_JOB, { error: { code: 'X', message: 'no room' } }));
    const failed = `copy of image ${IMAGE} failed: no room`;
    t.strictSame(
        await refusal(copy(b, WISHES.watch)),
        refused(422, 'ValidationFailed', failed, ['state', 'Invalid']),
    );
});

void t.test('a placeholder', async (t) => {
    const b = await startCopyBench(t);
    b.source.images.set(
        IMAGE,
        remote({ icon: true, tags: { a: 'b' }, channels: ['x'], origin: ORIGIN, acl: [luke] }),
    );
    b.source.images.set(ORIGIN, remote({ uuid: ORIGIN }));
    b.engine.beforeStart = async (job) => {
        const raw = await b.bench.raw(IMAGE);
        t.match(raw, {
            owner: vader,
            state: 'creating',
            activated: false,
            origin: ORIGIN,
            acl: [luke],
            published_at: '2024-01-01T00:00:00.000Z',
            expires_at: '2026-01-09T03:04:05.006Z',
            x_imgapi: { import_id: job.uuid, provenance: { kind: 'copy', source_datacenter: 'east' } },
        });
        t.notOk(raw.files?.length);
        t.notOk(raw.icon);
        t.notOk(raw.channels);
    };
    const { jobUuid } = await copy(b, WISHES.sync);
    t.match(b.engine.started[0]?.params, { placeholder: true, import_id: jobUuid });

    void t.test('goes again when no job starts', async (t) => {
        const b = await startCopyBench(t);
        b.engine.refusal = serviceUnavailable('job queue is full');
        t.match(await refusal(copy(b, WISHES.sync)), { status: 503, message: 'job queue is full' });
        t.notOk(await b.bench.exists(IMAGE));
        b.engine.refusal = undefined;
        b.engine.running = JOB;
        t.match(await copy(b, WISHES.sync), { result: 'attached', jobUuid: JOB });
        t.notOk(await b.bench.exists(IMAGE), 'the other job makes its own');
        b.engine.keeps = false;
        t.equal((await refusal(copy(b, WISHES.sync))).status, 503);
        t.notOk(await b.bench.exists(IMAGE));
    });

    void t.test('nothing goes before it is known that a job can be started', async (t) => {
        const b = await startCopyBench(t);
        await b.bench.plant(unfinished('failed', DEAD_JOB));
        b.engine.keeps = false;
        t.equal((await refusal(copy(b, WISHES.sync))).status, 503);
        t.equal((await b.bench.raw(IMAGE)).state, 'failed');
    });

    void t.test('of an account nobody knows', async (t) => {
        const b = await startCopyBench(t);
        b.source.images.set(IMAGE, remote({ owner: NOBODY }));
        const context = b.context({ account: NOBODY });
        const done = await importFromDatacenter(b.services, context, IMAGE, {
            datacenter: 'east',
            wish: () => WISHES.sync,
        });
        t.equal(done.result, 'started');
        t.equal((await b.bench.raw(IMAGE)).owner, sdc, "becomes the operator's");
        const again = await importFromDatacenter(b.services, context, IMAGE, {
            datacenter: 'east',
            wish: () => WISHES.sync,
        });
        t.equal(again.result, 'attached');
    });
});

void t.test('two requests at once start one job', async (t) => {
    const b = await startCopyBench(t);
    const done = await Promise.all([copy(b, WISHES.sync), copy(b, WISHES.plain), copy(b, WISHES.sync)]);
    t.strictSame(
        done.map(({ result }) => result),
        ['started', 'attached', 'attached'],
    );
    t.equal(new Set(done.map(({ jobUuid }) => jobUuid)).size, 1);
    t.equal(b.engine.started.length, 1);
});

void t.test('leftovers of dead jobs', async (t) => {
    const b = await startCopyBench(t);
    b.source.images.set(IMAGE, remote({ origin: ORIGIN }));
    b.source.images.set(ORIGIN, remote({ uuid: ORIGIN, origin: BASE }));
    b.source.images.set(BASE, remote({ uuid: BASE }));
    await b.bench.plant(unfinished('unactivated', DEAD_JOB, { uuid: BASE }));
    await b.bench.plant(unfinished('unactivated', DEAD_JOB, { uuid: ORIGIN, origin: BASE }));
    await b.bench.plant(unfinished('creating', DEAD_JOB, { origin: ORIGIN }));
    await b.bench.plantFile(ORIGIN, 'file0', Buffer.from('part'));
    t.equal((await copy(b, WISHES.sync)).result, 'started');
    t.strictSame(b.engine.started[0]?.params['origins'], [BASE, ORIGIN]);
    t.notOk(await b.bench.exists(ORIGIN));
    t.notOk(await b.bench.exists(BASE));

    void t.test('but not what a job still works on', async (t) => {
        const b = await startCopyBench(t);
        b.source.images.set(IMAGE, remote({ origin: ORIGIN }));
        b.source.images.set(ORIGIN, remote({ uuid: ORIGIN }));
        await b.bench.plant(unfinished('unactivated', JOB, { uuid: ORIGIN }));
        b.engine.set({
            uuid: JOB,
            imageUuid: ORIGIN,
            execution: 'running',
            params: { ...COPY, image_uuid: ORIGIN },
        });
        t.equal((await copy(b, WISHES.sync)).result, 'started');
        t.ok(await b.bench.exists(ORIGIN));
    });
});

void t.test('a copy that has failed and still cleans up is waited for', async (t) => {
    const b = await startCopyBench(t);
    await b.bench.plant(unfinished('failed', JOB));
    b.engine.set({ uuid: JOB, imageUuid: IMAGE, execution: 'running', params: COPY });
    const done = copy(b, WISHES.sync);
    await eventually('it to wait', 5_000, () => b.engine.waiting > 0);
    t.equal(b.engine.started.length, 0);
    b.engine.change(JOB, { execution: 'failed' });
    t.match(await done, { result: 'started' });
    t.not((await done).jobUuid, JOB);
});

void t.test('copied again', async (t) => {
    const b = await startCopyBench(t);
    const here = stored({
        description: 'goes',
        acl: [luke, sdc],
        billing_tags: ['b', 'a'],
        tags: ['x=1'],
        tagsObj: { x: 1 },
        urn: 'a:b:c:1',
    });
    await b.bench.plant(here);
    b.source.images.set(
        IMAGE,
        remote({
            name: 'y-wing',
            acl: [sdc, luke],
            billing_tags: ['a', 'b'],
            tags: { x: 1, y: true },
            requirements: { min_ram: 64 },
            owner: vader,
            disabled: false,
            published_at: '2025-01-01T00:00:00.000Z',
        }),
    );
    const done = await copy(b, WISHES.sync);
    t.match(done, {
        result: 'updated',
        local: true,
        changed: ['name', 'description', 'requirements', 'tags'],
    });
    const raw = await b.bench.raw(IMAGE);
    t.match(raw, {
        name: 'y-wing',
        acl: [luke, sdc],
        tagsObj: { x: 1, y: true },
        tags: ['x=1', 'y=true'],
        requirements: { min_ram: 64 },
        published_at: '2024-01-01T00:00:00.000Z',
        urn: 'a:b:c:1',
        state: 'active',
    });
    t.notOk('description' in raw);
    t.match(b.engine.recorded, [
        {
            task: 'import-remote-image',
            name: 'recopy-image-8.0.0',
            target: `/import-remote-${IMAGE}`,
            params: { account: vader, datacenter: 'east', source: 'http://east.example.com/images-of-east' },
            results: [{ result: 'Updated fields: name, description, requirements, tags', error: '' }],
        },
    ]);

    const again = await copy(b, WISHES.sync);
    t.match(again, { result: 'unchanged', changed: [] });
    t.match(b.engine.recorded[1]?.results, [{ result: 'No changes' }]);
    const current = await copy(b, WISHES.watch);
    t.match(current, { result: 'current', local: true });
    t.equal(b.engine.recorded.length, 2, 'the last job tells of it');

    b.source.images.set(
        IMAGE,
        remote({ files: [{ sha1: SHA1.replace('c', 'd'), size: 3, compression: 'gzip' }] }),
    );
    const different = `image uuid "${IMAGE}" already exists with a different file`;
    t.strictSame(await refusal(copy(b, WISHES.sync)), refused(409, 'ImageUuidAlreadyExists', different));
    b.engine.keeps = false;
    b.source.images.set(IMAGE, remote({ name: 'z-wing' }));
    t.equal((await refusal(copy(b, WISHES.sync))).status, 503);
    t.equal((await b.bench.raw(IMAGE)).name, 'y-wing', 'nothing is changed that could not be written down');
});

void t.test('an image that was copied by a job is told of by that job', async (t) => {
    const b = await startCopyBench(t);
    await b.bench.plant(stored());
    b.engine.set({ uuid: JOB, imageUuid: IMAGE, execution: 'succeeded', params: COPY });
    t.match(await copy(b, WISHES.watch), { result: 'current', jobUuid: JOB });
    t.equal(b.engine.recorded.length, 0);
});
