// Many jobs on few images, with failures, cancellations and restarts (jobs-and-imports 9.3, 9.6).
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { isTerminal } from '#lib/jobs/job.js';
import type { JobKind, JobRun } from '#lib/jobs/job-kind.js';
import { MemoryJobs } from '../doubles/memory-jobs.js';
import { kindOf, overJob, PAGE, runningEngine, stepOf, wishOf } from '../helpers/job-engines.js';

const RUNS = Number(process.env['JOB_MODEL_RUNS'] ?? 40);

/** Images by the way to their base: each is based on the one before it in its chain. */
const CHAINS = [
    ['base', 'left', 'left-top'],
    ['base', 'left', 'left-other'],
    // Of these the bases are here already.
    ['left', 'left-top'],
    ['left-top', 'tip'],
    ['base', 'right'],
    ['alone'],
] as const;

/** A job of the model. */
interface Planned {
    readonly chain: number;
    /** Jobs of one instance run one after another. */
    readonly vm: number | null;
    /** How often it lets others do something on its way. */
    readonly pauses: number;
    readonly fails: boolean;
    /** After how many pauses of the test it is canceled. */
    readonly cancelAfter: number | null;
}

/** A stop of the server, and the start of the next one. */
interface Restart {
    readonly after: number;
    readonly slots: number;
}

async function pause(times: number): Promise<void> {
    for (let n = 0; n < times; n += 1) {
        await new Promise((resolve) => setImmediate(resolve));
    }
}

/** What must hold at every moment, and what was broken. */
class Watch {
    readonly broken: string[] = [];
    readonly #images = new Map<string, string>();
    readonly #targets = new Map<string, string>();

    enters(run: JobRun): void {
        const other = this.#targets.get(run.target);
        if (other !== undefined && other !== run.uuid) {
            this.broken.push(`${run.target} is busy`);
        }
        this.#targets.set(run.target, run.uuid);
    }

    has(run: JobRun, image: string): void {
        const other = this.#images.get(image);
        if (other !== undefined && other !== run.uuid) {
            this.broken.push(`two jobs have ${image}`);
        }
        this.#images.set(image, run.uuid);
    }

    /** The last thing a job does. */
    leaves(run: JobRun): void {
        for (const held of [this.#images, this.#targets]) {
            [...held].filter(([, uuid]) => uuid === run.uuid).forEach(([key]) => held.delete(key));
        }
    }
}

function modelKinds(watch: Watch): readonly JobKind[] {
    const work = async (run: JobRun): Promise<void> => {
        watch.enters(run);
        for (const image of run.params['images'] as readonly string[]) {
            await run.lock(image);
            watch.has(run, image);
            await pause(Number(run.params['pauses']));
            run.signal.throwIfAborted();
            await run.noteCreated(image);
        }
    };
    const last = async (run: JobRun): Promise<void> => {
        // Also after a restart it has what it had.
        (run.params['images'] as readonly string[])
            .filter((image) => run.created.includes(image))
            .forEach((image) => watch.has(run, image));
        await pause(Number(run.params['pauses']));
        run.signal.throwIfAborted();
        if (run.params['fails'] === true) {
            throw new Error('cannot');
        }
        watch.leaves(run);
    };
    const undo = {
        name: 'undo',
        timeout: 60,
        run: async (run: JobRun) => {
            run.created.forEach((image) => watch.has(run, image));
            await pause(2);
            watch.leaves(run);
            return 'undone';
        },
    };
    const changes = { onError: [undo], onCancel: [undo] };
    const chain = [stepOf('work', work), stepOf('last', last)];
    return [
        kindOf(chain, changes),
        kindOf(chain, { ...changes, task: 'create-from-vm', busyTarget: 'wait' }),
    ];
}

/** Cancels a job, which may be over already. */
async function cancelLater(
    engine: Awaited<ReturnType<typeof runningEngine>>['engine'],
    uuid: string,
    after: number,
): Promise<void> {
    await pause(after);
    await engine.cancel(uuid).catch((error: unknown) => {
        const { code } = error as { code?: string };
        if (code !== 'ConflictError' && code !== 'ServiceUnavailableError') {
            throw error;
        }
    });
}

async function play(t: Test, planned: readonly Planned[], maxRunning: number, restarts: readonly Restart[]) {
    const watch = new Watch();
    let store = new MemoryJobs();
    let { engine } = await runningEngine(t, modelKinds(watch), { store, jobs: { maxRunning } });
    const wishes = planned.map(({ chain, vm, pauses, fails }) => {
        const params = { images: CHAINS[chain] ?? [], pauses, fails };
        return vm === null
            ? wishOf(params)
            : wishOf(params, {
                  task: 'create-from-vm',
                  target: `/create-from-vm-${vm}`,
                  imageUuid: randomUUID(),
              });
    });
    for (const wish of wishes) {
        await engine.start(wish);
    }
    let canceling = planned.flatMap(({ cancelAfter }, index) =>
        cancelAfter === null ? [] : [cancelLater(engine, wishes[index]!.uuid, cancelAfter)],
    );
    for (const { after, slots } of restarts) {
        await pause(after);
        await Promise.all(canceling);
        canceling = [];
        await engine.stop();
        store = new MemoryJobs(store.texts);
        ({ engine } = await runningEngine(t, modelKinds(watch), { store, jobs: { maxRunning: slots } }));
    }
    await Promise.all(canceling);
    for (const { uuid } of wishes) {
        const { document } = await overJob(engine, uuid);
        if (!isTerminal(document.execution) || (document['chain_results'] as unknown[]).length === 0) {
            watch.broken.push(`${uuid} ended as ${document.execution}`);
        }
    }
    const { jobs, total } = await engine.list({}, PAGE);
    const executions = jobs.map(({ execution }) => execution);
    await engine.stop();
    return { broken: watch.broken, total, executions };
}

void t.test('no two jobs have one image, and every job ends', async (t) => {
    t.setTimeout(120_000);
    const seen = new Set<string>();
    const job = fc.record({
        chain: fc.nat(CHAINS.length - 1),
        vm: fc.option(fc.nat(1)),
        pauses: fc.nat(6),
        fails: fc.boolean(),
        cancelAfter: fc.option(fc.nat(60), { freq: 3 }),
    });
    const restart = fc.record({ after: fc.nat(30), slots: fc.integer({ min: 1, max: 4 }) });
    await fc.assert(
        fc.asyncProperty(
            fc.array(job, { minLength: 1, maxLength: 10 }),
            fc.integer({ min: 1, max: 4 }),
            fc.array(restart, { maxLength: 3 }),
            async (planned, maxRunning, restarts) => {
                const { broken, total, executions } = await play(t, planned, maxRunning, restarts);
                executions.forEach((one) => seen.add(one));
                if (broken.length > 0 || total !== planned.length) {
                    throw new Error(`${total} jobs: ${broken.join('; ')}`);
                }
            },
        ),
        { numRuns: RUNS },
    );
    t.same([...seen].sort(), ['canceled', 'failed', 'succeeded']);
});
