// What the end of a process does to jobs, orderly or not, and what the next one makes of them (jobs-and-imports
// 9.3, 9.4, 9.10).
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import type { JobDocument, StepResult } from '#lib/jobs/job.js';
import { JobInterrupted, type JobKind, type JobRun } from '#lib/jobs/job-kind.js';
import { Gate } from '../doubles/gate.js';
import { MemoryJobs } from '../doubles/memory-jobs.js';
import {
    engineOf,
    jobOf,
    jobThat,
    kindOf,
    overJob,
    PAGE,
    runningEngine,
    stepOf,
    wishOf,
} from '../helpers/job-engines.js';

function untilAborted(run: JobRun): Promise<never> {
    return new Promise((_resolve, reject) => {
        run.signal.addEventListener('abort', () => reject(run.signal.reason as Error));
    });
}

function namesOf(results: unknown): readonly string[] {
    return (results as readonly StepResult[]).map(({ name }) => name);
}

void t.test('a server that stops puts its jobs back, the next goes on with them first', async (t) => {
    const image = randomUUID();
    const steps: string[] = [];
    const began = new Gate();
    let isFirst = true;
    const kind = kindOf([
        stepOf('a', async (run) => {
            steps.push(`a ${Number(run.params['n'])}`);
            await run.lock(image);
            await run.noteCreated(image);
            await run.remember({ taskId: 't1' });
        }),
        stepOf('b', async (run) => {
            steps.push(`b ${Number(run.params['n'])}${run.isRepeated ? ' again' : ''}`);
            if (isFirst) {
                run.progress.plan(1, 100);
                run.progress.beginImage(image, 100);
                run.progress.received(40);
                void began.pass();
                await untilAborted(run);
            }
            t.match(run.memory, { taskId: 't1' });
            t.same(run.created, [image]);
        }),
    ]);
    const { engine, base } = await runningEngine(t, [kind], { jobs: { maxRunning: 1 } });
    const jobs = [0, 1, 2].map((n) => wishOf({ n }));
    const arrived = began.arrived();
    for (const job of jobs) {
        await engine.start(job);
    }
    await arrived;
    t.doesNotThrow(() => engine.requireAvailable());
    const stopped = engine.stop();
    t.throws(() => engine.requireAvailable(), /server is shutting down/);
    await t.rejects(engine.start(wishOf()), { message: 'server is shutting down' });
    await t.rejects(engine.cancel(jobs[0]!.uuid), { message: 'server is shutting down' });
    await stopped;
    await engine.stop();
    t.match(await jobOf(engine, jobs[0]!.uuid), {
        document: { execution: 'queued', restarts: 0, runner_id: null, created_images: [image] },
        progress: { bytes_done: 40, step: null },
    });
    t.same(steps.splice(0), ['a 0', 'b 0']);
    isFirst = false;

    const next = engineOf(t, [kind], { base, jobs: { maxRunning: 1 } });
    t.throws(() => next.engine.requireAvailable(), /owned by another process/);
    await next.engine.open();
    next.engine.requireAvailable();
    t.match(await next.engine.counts(), { queued: 3, running: 0 });
    t.same(steps, [], 'nothing runs before the server listens');
    next.engine.run();
    for (const job of jobs) {
        t.match((await overJob(next.engine, job.uuid)).document, { execution: 'succeeded', restarts: 0 });
    }
    t.same(steps, ['b 0 again', 'a 1', 'b 1', 'a 2', 'b 2'], 'what is done is not done again');
    const { document } = await jobOf(next.engine, jobs[0]!.uuid);
    t.same(namesOf(document['chain_results']), ['a', 'b']);
});

void t.test('a step that does not end keeps the server for a bounded time only', async (t) => {
    const gate = new Gate();
    const kind = kindOf([stepOf('deaf', () => gate.pass())]);
    const store = new MemoryJobs();
    const { engine } = await runningEngine(t, [kind], { store, timing: { graceMs: 20, stopMs: 1000 } });
    const { uuid } = await engine.start(wishOf());
    await gate.arrived();
    await engine.stop();
    const left = store.texts;
    t.match(JSON.parse(left.get(uuid) ?? ''), { execution: 'queued' });
    gate.resume();
    await new Promise((resolve) => setImmediate(resolve));
    t.same(store.texts, left, 'nothing is written any more');

    const stuck = new MemoryJobs();
    const writing = new Gate();
    const second = await runningEngine(t, [kind], { store: stuck, timing: { graceMs: 20, stopMs: 50 } });
    stuck.faults.until = writing.pass();
    const starting = second.engine.start(wishOf());
    await second.engine.stop();
    t.ok(second.records.some(({ msg }) => msg === 'not every job could be ended in time'));
    writing.resume();
    await t.rejects(starting, { code: 'ServiceUnavailableError' });
    t.equal(stuck.texts.size, 0);
});

/** What a world outside would have to be told: images that exist, calls that were sent. */
interface World {
    readonly images: Set<string>;
    calls: number;
    readonly ended: string[];
}

/** A job like the real ones: every step finds what an earlier life has done. */
function worldKind(world: World, fails: boolean): JobKind {
    return kindOf(
        [
            stepOf('create', async (run) => {
                const image = run.hidden['image'] as string;
                await run.lock(image);
                await run.noteCreated(image);
                world.images.add(image);
            }),
            stepOf('call', async (run) => {
                if (run.memory['answer'] === undefined) {
                    if (run.memory['sent'] === true) {
                        throw new JobInterrupted();
                    }
                    await run.remember({ sent: true });
                    world.calls += 1;
                    await run.remember({ answer: 'yes' });
                }
            }),
            stepOf('activate', async () => {
                if (fails) {
                    throw new Error('cannot');
                }
                return Promise.resolve('active');
            }),
        ],
        {
            onError: [
                {
                    name: 'delete',
                    timeout: 60,
                    run: (run, end) => {
                        run.created.forEach((image) => world.images.delete(image));
                        world.ended.push(end.error.message);
                        return Promise.resolve('deleted');
                    },
                },
                {
                    name: 'On error',
                    timeout: 60,
                    run: () => Promise.reject(new Error('Error executing job')),
                },
            ],
        },
    );
}

async function runInWorld(
    t: Test,
    store: MemoryJobs,
    world: World,
    fails: boolean,
): Promise<JobDocument | undefined> {
    const { engine } = await runningEngine(t, [worldKind(world, fails)], { store });
    const [left] = (await engine.list({}, PAGE)).jobs;
    const document = left && (await overJob(engine, left.uuid)).document;
    await engine.stop();
    return document;
}

void t.test('a crash at every point where something was saved', async (t) => {
    for (const fails of [false, true]) {
        const image = randomUUID();
        const first = new MemoryJobs();
        const { engine } = await runningEngine(
            t,
            [worldKind({ images: new Set(), calls: 0, ended: [] }, fails)],
            { store: first },
        );
        const { uuid } = await engine.start(wishOf({}, { hidden: { image } }));
        await overJob(engine, uuid);
        await engine.stop();
        t.ok(first.history.length > 10, `${first.history.length} points`);
        for (const [point, texts] of first.history.entries()) {
            const before = JSON.parse(texts.get(uuid) ?? '') as JobDocument & { own: { memory: object } };
            // The world is as it was then, or one step further: the crash came after the saving.
            const world: World = {
                images: new Set(before['created_images'] as string[]),
                calls: 0,
                ended: [],
            };
            const store = new MemoryJobs(texts);
            const document = await runInWorld(t, store, world, fails);
            const sent = JSON.stringify(before.own.memory);
            const interrupted = sent === '{"sent":true}';
            const isOver = ['failed', 'succeeded'].includes(before.execution);
            const why = `point ${point}: ${before.execution} ${sent}`;
            t.match(
                document,
                {
                    execution: interrupted || fails ? 'failed' : 'succeeded',
                    restarts: before.execution === 'running' ? 1 : 0,
                    runner_id: null,
                },
                why,
            );
            t.same(
                namesOf(document?.['chain_results']),
                interrupted ? ['create', 'call'] : ['create', 'call', 'activate'],
                why,
            );
            t.same(
                namesOf(document?.['onerror_results']),
                interrupted || fails ? ['delete', 'On error'] : [],
                why,
            );
            t.equal(world.calls, sent === '{}' ? 1 : 0, `${why}: nothing is asked for twice`);
            if (interrupted) {
                t.match((document?.['chain_results'] as StepResult[])[1]?.error, {
                    code: 'JobInterrupted',
                    message: 'job was interrupted by a server restart',
                });
            }
            if (!isOver && (interrupted || fails) && (before['onerror_results'] as unknown[]).length === 0) {
                t.equal(world.images.size, 0, why);
                t.equal(world.ended.length, 1, why);
            }
        }
    }
});

void t.test('a process that crashes again and again', async (t) => {
    const store = new MemoryJobs();
    const gate = new Gate();
    let cleanUps = 0;
    const kind = kindOf([stepOf('crash', () => gate.pass())], {
        onError: [
            {
                name: 'crash, too',
                timeout: 60,
                run: async () => {
                    cleanUps += 1;
                    await gate.pass();
                    return '';
                },
            },
        ],
    });
    let texts = store.texts;
    const { uuid } = await runningEngine(t, [kind], { store }).then(({ engine }) => engine.start(wishOf()));
    texts = store.texts;
    const seen: unknown[] = [];
    for (let crash = 0; crash < 9; crash += 1) {
        const next = new MemoryJobs(texts);
        const { engine } = await runningEngine(t, [kind], {
            store: next,
            jobs: { maxRestarts: 2 },
            timing: { graceMs: 1, stopMs: 1000 },
        });
        const { document, progress } = await jobThat(
            engine,
            uuid,
            (view) => view.progress.step !== null || !engine.isLive(uuid),
        );
        seen.push([document.execution, document['restarts'], progress.step]);
        // What its files say at the moment of the crash.
        await jobThat(engine, uuid, () => {
            const { own } = JSON.parse(next.texts.get(uuid) ?? '') as {
                own: { begun: boolean; phase: string };
            };
            return own.begun || own.phase === 'done';
        });
        texts = next.texts;
    }
    t.same(seen, [
        ['running', 0, 'crash'],
        ['running', 1, 'crash'],
        ['running', 2, 'crash'],
        ['running', 2, 'crash, too'],
        ['running', 3, 'crash, too'],
        ['running', 4, 'crash, too'],
        ['running', 5, 'crash, too'],
        ['failed', 5, null],
        ['failed', 5, null],
    ]);
    t.equal(cleanUps, 4);
    const { execution, chain_results } = JSON.parse(texts.get(uuid) ?? '') as JobDocument;
    t.equal(execution, 'failed');
    t.match(chain_results, [{ name: 'crash', error: { code: 'JobInterrupted' } }]);
    gate.resume();
});

void t.test('jobs of another release, and of a task there is no more', async (t) => {
    const gate = new Gate();
    const store = new MemoryJobs();
    const old = kindOf([stepOf('old', () => gate.pass())]);
    const { engine } = await runningEngine(t, [old], { store });
    const { uuid } = await engine.start(wishOf());
    await gate.arrived();
    const texts = store.texts;
    const undone: string[] = [];
    const changed = kindOf([stepOf('new', () => t.fail('not its step'))], {
        onError: [{ name: 'undo', timeout: 5, run: async (run) => String(undone.push(run.uuid)) }],
    });
    for (const kinds of [[changed], []]) {
        const next = await runningEngine(t, kinds, { store: new MemoryJobs(texts) });
        const { document, progress } = await overJob(next.engine, uuid);
        t.match(document, {
            execution: 'failed',
            chain_results: [{ name: 'old', error: { code: 'JobInterrupted' } }],
        });
        t.match(progress, { error: { code: 'JobInterrupted', message: /restart/ } });
    }
    t.same(undone, [uuid]);
    gate.resume();
});

void t.test('images stay locked through a crash', async (t) => {
    const image = randomUUID();
    const other = randomUUID();
    const gate = new Gate();
    const order: number[] = [];
    const chain = (first: string, second?: string) => [
        stepOf('lock', async (run) => {
            await run.lock(first);
        }),
        stepOf('work', async (run) => {
            await gate.pass();
            if (second !== undefined) {
                await run.lock(second);
            }
            order.push(Number(run.params['n']));
        }),
    ];
    // The first has the base and waits; the second has the other one and wants the base.
    const kinds = [
        kindOf(chain(image)),
        kindOf(chain(other), { task: 'create-from-vm', busyTarget: 'wait' }),
        kindOf([]),
    ];
    const store = new MemoryJobs();
    const { engine } = await runningEngine(t, kinds, { store });
    const jobs = [wishOf({ n: 0 }), wishOf({ n: 1 }, { task: 'create-from-vm' })];
    const both = gate.arrived(2);
    for (const job of jobs) {
        await engine.start(job);
    }
    await both;
    const next = await runningEngine(t, kinds, {
        store: new MemoryJobs(store.texts),
        jobs: { maxRunning: 1 },
    });
    await gate.arrived(4);
    t.match(
        await next.engine.counts(),
        { queued: 0, running: 2 },
        'who has an image does not wait for a slot',
    );
    const waiting = await next.engine.start(wishOf({ n: 2 }));
    gate.resume();
    for (const { uuid } of [...jobs, waiting]) {
        t.match(await overJob(next.engine, uuid), { document: { execution: 'succeeded' } });
    }
    t.equal(order.at(-1), 2);
    await engine.stop();
});
