// Which jobs there are: accepted, attached to, listed, locked out (jobs-and-imports 9.4-9.6).
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { Gate } from '../doubles/gate.js';
import { MemoryJobs } from '../doubles/memory-jobs.js';
import {
    jobOf,
    jobThat,
    kindOf,
    NEVER,
    overJob,
    PAGE,
    runningEngine,
    stepOf,
    wishOf,
} from '../helpers/job-engines.js';

void t.test('who asks for what is being done already', async (t) => {
    const store = new MemoryJobs();
    const gate = new Gate();
    const { engine } = await runningEngine(t, [kindOf([stepOf('a', () => gate.pass())])], { store });
    const imageUuid = randomUUID();
    const wish = (params: Readonly<Record<string, string>>) => wishOf(params, { imageUuid });
    const writing = new Gate();
    store.faults.until = writing.pass();
    const first = wish({ account: 'x', source: 'http://a' });
    const starts = [
        engine.start(first),
        engine.start(wish({ account: 'x', source: 'http://a' })),
        engine.start(wish({ account: 'y', source: 'http://a' })),
    ];
    t.equal(await engine.find(first.uuid), undefined, 'there is no job before it is safe');
    writing.resume();
    t.same(await Promise.allSettled(starts).then((all) => all.map(({ status }) => status)), [
        'fulfilled',
        'fulfilled',
        'rejected',
    ]);
    t.same(await starts[1], { uuid: first.uuid, attached: true });
    await t.rejects(starts[2]!, { code: 'ImageUuidAlreadyExists' });
    await t.rejects(engine.start(wish({ account: 'x', source: 'http://b' })), {
        code: 'ImageUuidAlreadyExists',
    });
    await t.rejects(engine.start(wish({ source: 'http://a' })), { code: 'ImageUuidAlreadyExists' });
    t.equal((await engine.start(wishOf({ source: 'http://a' }))).attached, false, 'another image');
    t.equal((await engine.active(imageUuid, NEVER)).length, 1);
    gate.resume();
    await overJob(engine, first.uuid);
    t.equal((await engine.start(wish({ source: 'http://b' }))).attached, false, 'it is over');

    const other = randomUUID();
    const copy = (datacenter: string, source: string) =>
        wishOf({ account: 'x', datacenter, source }, { imageUuid: other });
    const gate2 = new Gate();
    const second = await runningEngine(t, [kindOf([stepOf('a', () => gate2.pass())])]);
    const started = await second.engine.start(copy('dc1', 'http://old'));
    t.same(await second.engine.start(copy('dc1', 'http://new')), { ...started, attached: true });
    await t.rejects(second.engine.start(copy('dc2', 'http://other')), { code: 'ImageUuidAlreadyExists' });
    gate2.resume();
    await overJob(second.engine, started.uuid);
});

void t.test('a job that cannot be saved has never been', async (t) => {
    const store = new MemoryJobs();
    const gate = new Gate();
    const { engine, records } = await runningEngine(t, [kindOf([stepOf('a', () => gate.pass())])], { store });
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    store.faults.write = full;
    const wish = wishOf();
    await t.rejects(engine.start(wish), { status: 503, message: 'could not save job', cause: full });
    const done = { ...wish, name: 'recopy-image-8.0.0', version: '8.0.0', params: {}, results: [] };
    await t.rejects(engine.record(done), { status: 503, message: 'could not save job' });
    t.equal(await engine.find(wish.uuid), undefined);
    t.equal(store.texts.size, 0);
    store.faults.write = undefined;
    t.same(await engine.start(wish), { uuid: wish.uuid, attached: false }, 'nothing is in the way');
    await gate.arrived();
    store.faults.write = full;
    await t.rejects(engine.cancel(wish.uuid), { status: 503, message: 'could not save job' });
    t.match(await jobOf(engine, wish.uuid), { document: { execution: 'running', chain_results: [] } });
    gate.resume();
    await overJob(engine, wish.uuid);
    t.equal((await jobOf(engine, wish.uuid)).document.execution, 'succeeded', 'it goes on in memory');
    t.ok(records.some(({ msg }) => msg === 'job could not be saved: tried again'));
    t.match(JSON.parse(store.texts.get(wish.uuid) ?? ''), { execution: 'running' });
});

void t.test('the queue has an end, and lists tell what is in it', async (t) => {
    const gate = new Gate();
    const kinds = [
        kindOf([stepOf('a', () => gate.pass())]),
        kindOf([stepOf('v', () => gate.pass())], { task: 'create-from-vm', busyTarget: 'wait' }),
    ];
    const { engine } = await runningEngine(t, kinds, { jobs: { maxRunning: 1, maxQueued: 3 } });
    const vm = randomUUID();
    const origin = randomUUID();
    const ofVm = (): ReturnType<typeof wishOf> =>
        wishOf({ vm_uuid: vm, owner_uuid: 'o' }, { task: 'create-from-vm', target: `/create-from-vm-${vm}` });
    const wishes = [ofVm(), ofVm(), wishOf({ account: 'x' }), wishOf({ origins: [origin] })];
    for (const wish of wishes) {
        t.equal((await engine.start(wish)).attached, false, 'jobs of one instance wait for each other');
    }
    await gate.arrived();
    await t.rejects(engine.start(wishOf()), { status: 503, message: 'job queue is full' });
    t.throws(() => engine.requireRoom(), /job queue is full/);
    await t.rejects(engine.start(wishOf({}, { task: 'create-from-vm', target: 'x' })), {
        message: 'job queue is full',
    });
    const uuids = wishes.map(({ uuid }) => uuid);
    const listed = async (filter: Parameters<typeof engine.list>[0], page = PAGE) => {
        const { jobs, total } = await engine.list(filter, page);
        return [jobs.map(({ uuid }) => uuids.indexOf(uuid)), total];
    };
    t.same(await listed({}), [[3, 2, 1, 0], 4]);
    t.same(await listed({}, { offset: 1, limit: 2 }), [[2, 1], 4]);
    t.same(await listed({ execution: 'queued' }), [[3, 2, 1], 3]);
    t.same(await listed({ task: 'create-from-vm' }), [[1, 0], 2]);
    t.same(await listed({ task: 'bogus' }), [[], 0]);
    t.same(await listed({ vm_uuid: vm, execution: 'running' }), [[0], 1]);
    t.same(await listed({ account: 'x' }), [[2], 1]);
    t.same(await listed({ account: 'o' }), [[1, 0], 2]);
    t.same(await listed({ image_uuid: wishes[3]!.imageUuid }), [[3], 1]);
    await t.rejects(engine.list({ execution: 'bogus' }, PAGE), {
        code: 'ConflictError',
        message: 'Execution must be one of queued, failed, succeeded, canceled or running',
    });
    t.same(await engine.active(origin, NEVER), []);
    t.match(await engine.active(origin, NEVER, true), [{ uuid: uuids[3] }]);
    t.match(await engine.newest(origin), { uuid: uuids[3] });
    t.equal(await engine.newest(randomUUID()), undefined);
    t.equal(await engine.find('no uuid'), undefined);
    const tally = await engine.tally();
    t.equal(tally.get({ task: 'create-from-vm', execution: 'queued' }), 1);
    gate.resume();
    for (const uuid of uuids) {
        await overJob(engine, uuid);
    }
    t.same(await engine.active(origin, NEVER, true), []);
    t.match(await engine.newest(origin), { uuid: uuids[3] });
    await t.rejects(engine.start(wishOf({}, { task: 'other' as 'create-from-vm' })), {
        code: 'NotAvailable',
    });
});

void t.test('jobs that were done before they are written down', async (t) => {
    const { engine, base } = await runningEngine(t, []);
    const at = '2026-01-01T00:00:00.000Z';
    const imageUuid = randomUUID();
    const uuid = await engine.record({
        task: 'import-remote-image',
        name: 'recopy-image-8.0.0',
        version: '8.0.0',
        target: `/import-remote-${imageUuid}`,
        imageUuid,
        params: { image_uuid: imageUuid, account: 'x' },
        results: [{ result: 'No changes', error: '', name: 'recopy', started_at: at, finished_at: at }],
    });
    const { document, progress } = await jobOf(engine, uuid);
    t.match(document, {
        uuid,
        execution: 'succeeded',
        name: 'recopy-image-8.0.0',
        image_uuid: imageUuid,
        chain: [{ name: 'recopy' }],
        chain_results: [{ result: 'No changes', error: '' }],
    });
    t.match(progress, { images_done: 1, images_total: 1, step: null, execution: 'succeeded' });
    await engine.stop();
    const next = await runningEngine(t, [], { base });
    t.match(await jobOf(next.engine, uuid), { document: { execution: 'succeeded' } });
});

void t.test('images are locked until the job is over; the clock stands still meanwhile', async (t) => {
    const image = randomUUID();
    const gates = [new Gate(), new Gate()];
    const events: string[] = [];
    const kind = kindOf(
        [
            stepOf(
                'a',
                async (run) => {
                    await run.lock(image);
                    await run.lock(image);
                    events.push(`${Number(run.params['n'])} has it`);
                    if (run.params['n'] === 0) {
                        await gates[0]!.pass();
                        throw new Error('bad');
                    }
                },
                ({ params }) => (params['n'] === 0 ? 60 : 0.25),
            ),
        ],
        {
            timeout: 0.25,
            onError: [
                {
                    name: 'undo',
                    timeout: 60,
                    run: async () => {
                        await gates[1]!.pass();
                        events.push('0 is cleaned up');
                        return '';
                    },
                },
            ],
        },
    );
    const { engine } = await runningEngine(t, [kind], { store: new MemoryJobs() });
    const jobs = [0, 1, 2].map((n) => wishOf({ n }));
    const [first, second, third] = jobs;
    await engine.start(first!);
    await gates[0]!.arrived();
    await engine.start(second!);
    await engine.start(third!);
    for (const job of [second, third]) {
        await jobThat(engine, job!.uuid, ({ progress }) => progress.step === 'a');
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    await engine.cancel(second!.uuid);
    gates[0]!.resume();
    await gates[1]!.arrived();
    t.same(events, ['0 has it']);
    gates[1]!.resume();
    for (const job of jobs) {
        await overJob(engine, job.uuid);
    }
    t.same(events, ['0 has it', '0 is cleaned up', '2 has it']);
    const { document } = await jobOf(engine, third!.uuid);
    t.equal(document.execution, 'succeeded', 'although it has waited longer than it may work');
});

void t.test(
    'jobs that want the same images in different orders do not wait for each other for ever',
    async (t) => {
        const images = [randomUUID(), randomUUID(), randomUUID()];
        const gate = new Gate();
        const kind = kindOf([
            stepOf('a', async (run) => {
                const n = Number(run.params['n']);
                await run.lock(images[n]!);
                await gate.pass();
                await run.lock(images[(n + 1) % images.length]!);
            }),
        ]);
        const { engine } = await runningEngine(t, [kind], { store: new MemoryJobs() });
        const jobs = images.map((_, n) => wishOf({ n }));
        for (const job of jobs) {
            await engine.start(job);
        }
        await gate.arrived(images.length);
        gate.resume();
        const ended = await Promise.all(jobs.map(({ uuid }) => overJob(engine, uuid)));
        t.same(ended.map(({ document }) => document.execution).sort(), ['failed', 'succeeded', 'succeeded']);
        const failed = ended.find(({ document }) => document.execution === 'failed');
        t.match(failed?.progress.error, { code: 'InternalError', message: /waits for this one$/ });
    },
);

void t.test('waiting for a change', async (t) => {
    const gate = new Gate();
    const { engine } = await runningEngine(t, [kindOf([stepOf('a', () => gate.pass())])]);
    const { uuid } = await engine.start(wishOf());
    await gate.arrived();
    const leaving = new AbortController();
    const waiting = engine.nextChange(uuid, leaving.signal);
    leaving.abort(new Error('gone'));
    await t.rejects(waiting, { message: 'gone' });
    await t.rejects(engine.nextChange(uuid, leaving.signal), { message: 'gone' });
    await t.resolves(engine.nextChange(randomUUID(), NEVER), 'of a job that is not there, after a while');
    const change = engine.nextChange(uuid, NEVER);
    gate.resume();
    await change;
    await overJob(engine, uuid);
});
