// The files of jobs: what a process that writes them and one that reads them make of them (jobs-and-imports 9.4).
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Gate } from '../doubles/gate.js';
import { MemoryJobs } from '../doubles/memory-jobs.js';
import {
    engineOf,
    jobOf,
    kindOf,
    NEVER,
    overJob,
    PAGE,
    runningEngine,
    stepOf,
    wishOf,
} from '../helpers/job-engines.js';

void t.test('files: what is no job is put aside, what is old goes, readers read', async (t) => {
    const clock = { time: Date.parse('2026-01-01'), now: () => clock.time };
    const gate = new Gate();
    const kind = kindOf([stepOf('a', (run) => (run.params['waits'] === true ? gate.pass() : ''))]);
    const options = { clock, jobs: { retentionDays: 2, retentionCount: 3 } };
    const { engine, base, directories } = await runningEngine(t, [kind], options);
    const uuids: string[] = [];
    for (let n = 0; n < 5; n += 1) {
        clock.time += 1000;
        const { uuid } = await engine.start(wishOf({ n }));
        await overJob(engine, uuid);
        uuids.push(uuid);
    }
    const running = await engine.start(wishOf({ waits: true }));
    await gate.arrived();
    const listed = async (which = engine) => (await which.list({}, PAGE)).jobs.map(({ uuid }) => uuid);
    await engine.removeOld();
    t.same(await listed(), [running.uuid, ...uuids.slice(2).reverse()], 'the newest three that are over');

    const reader = engineOf(t, [kind], { ...options, base }).engine;
    reader.run();
    t.same(await listed(reader), await listed());
    t.match((await jobOf(reader, running.uuid)).document, { execution: 'running' });
    t.match(await reader.active((await jobOf(reader, running.uuid)).progress.image_uuid, NEVER), [
        { uuid: running.uuid },
    ]);
    t.ok(reader.isLive(randomUUID()), 'it cannot tell');
    await t.resolves(reader.removeOld());
    const wishes: readonly Promise<unknown>[] = [
        reader.start(wishOf()),
        reader.cancel(running.uuid),
        reader.record({ ...wishOf(), name: '', version: '', params: {}, results: [] }),
    ];
    for (const refused of wishes) {
        await t.rejects(refused, {
            status: 503,
            message: 'job engine is owned by another process',
            headers: { 'Retry-After': '1' },
        });
    }
    gate.resume();
    await overJob(engine, running.uuid);
    clock.time += 2000;
    t.match(await reader.counts(), { running: 0, succeeded: 3 });
    await engine.stop();

    const [prefix] = readdirSync(directories.jobs);
    const spoiled = uuids[4]!;
    const pathOf = (uuid: string): string => join(directories.jobs, uuid.slice(0, 3), `${uuid}.json`);
    const good = readFileSync(pathOf(spoiled), 'utf8');
    const strangers = [randomUUID(), randomUUID(), randomUUID()];
    const texts = ['', '{"uuid":1}', good];
    strangers.forEach((uuid, index) => {
        mkdirSync(join(directories.jobs, uuid.slice(0, 3)), { recursive: true });
        writeFileSync(pathOf(uuid), texts[index] ?? '');
    });
    writeFileSync(pathOf(spoiled), good.slice(0, 100));
    writeFileSync(join(directories.jobs, prefix ?? '', 'notes.txt'), 'mine');
    clock.time += 2000;
    t.same(await listed(reader), [running.uuid, uuids[3]], 'a reader leaves out what it cannot read');
    t.equal(await reader.find(spoiled), undefined);
    t.equal(await reader.countBad(), 0);

    const next = engineOf(t, [kind], { ...options, base });
    await next.engine.open();
    t.same(await listed(next.engine), [running.uuid, uuids[3]]);
    t.equal(await next.engine.countBad(), 4);
    t.equal(readFileSync(`${pathOf(spoiled)}.bad`, 'utf8'), good.slice(0, 100), 'nothing is lost');
    t.equal(next.records.filter(({ msg }) => msg === 'not a job: put aside').length, 4);
    clock.time += 2 * 86_400_000;
    await next.engine.removeOld();
    t.same(await listed(next.engine), [], 'too old');
});

void t.test('jobs that cannot be read or removed', async (t) => {
    const store = new MemoryJobs();
    const { engine, records } = await runningEngine(t, [kindOf([])], { store, jobs: { retentionCount: 1 } });
    store.faults.remove = new Error('broken');
    const uuids = [];
    for (let n = 0; n < 2; n += 1) {
        const { uuid } = await engine.start(wishOf());
        await overJob(engine, uuid);
        uuids.push(uuid);
    }
    await engine.removeOld();
    t.equal((await engine.list({}, PAGE)).total, 2);
    t.ok(records.some(({ msg }) => msg === 'old job could not be removed'));
    store.faults.remove = undefined;
    await engine.removeOld();
    t.equal((await engine.list({}, PAGE)).total, 1);

    const { engine: reader } = engineOf(t, [], { store: new MemoryJobs() });
    const unreadable = new MemoryJobs();
    unreadable.faults.read = new Error('broken');
    const { engine: blind } = engineOf(t, [], { store: unreadable });
    t.equal(await reader.find(randomUUID()), undefined);
    await t.rejects(blind.find(randomUUID()), { code: 'ServiceUnavailableError' });
    await t.rejects(blind.list({}, PAGE), { message: 'jobs cannot be read at the moment' });
    await t.rejects(blind.open(), { message: 'broken' });
});
