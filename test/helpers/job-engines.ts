import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Test } from 'tap';
import { systemClock, type Clock } from '#lib/base/clock.js';
import type { Config, JobsConfig } from '#lib/base/config-types.js';
import { EmbeddedEngine } from '#lib/jobs/embedded/embedded-engine.js';
import type { JobTiming } from '#lib/jobs/embedded/job-keeper.js';
import type { JobStore } from '#lib/jobs/embedded/job-store.js';
import { isTerminal, type JobView } from '#lib/jobs/job.js';
import type { NewJob } from '#lib/jobs/job-engine.js';
import type { JobKind, JobRun, JobStep } from '#lib/jobs/job-kind.js';
import { recordingLog } from './recording-log.js';

export const NEVER = new AbortController().signal;
export const PAGE = { offset: 0, limit: 1000 };

/** How an engine of a test differs from the usual one. */
export interface EngineChanges {
    readonly base?: string;
    readonly jobs?: Partial<JobsConfig>;
    readonly store?: JobStore;
    readonly clock?: Clock;
    readonly timing?: Partial<JobTiming>;
}

/** An engine that is neither open nor running; it is stopped at the end of the test. */
export function engineOf(t: Test, kinds: readonly JobKind[], changes: EngineChanges = {}) {
    const base = changes.base ?? t.testdir();
    const jobs = { maxRunning: 4, maxQueued: 100, maxRestarts: 3, retentionDays: 30, retentionCount: 1000 };
    // The engine looks at this part of the configuration only.
    const config = { current: { jobs: { ...jobs, ...changes.jobs } } as unknown as Config };
    const { log, records } = recordingLog();
    const directories = { jobs: join(base, 'jobs'), staging: join(base, 'staging') };
    const engine = new EmbeddedEngine({
        config,
        directories,
        kinds,
        clock: changes.clock ?? systemClock,
        log,
        timing: { graceMs: 8000, stopMs: 9000, ...changes.timing },
        ...(changes.store === undefined ? {} : { store: changes.store }),
    });
    // The engine's own timers do not keep a process alive.
    const hold = setInterval(() => undefined, 1000);
    t.teardown(async () => {
        await engine.stop();
        clearInterval(hold);
    });
    return { engine, records, directories, base };
}

/** As {@link engineOf}, but it runs jobs, until the test ends. */
export async function runningEngine(t: Test, kinds: readonly JobKind[], changes: EngineChanges = {}) {
    const made = engineOf(t, kinds, changes);
    await made.engine.open();
    made.engine.run();
    // What it still writes must not meet the end of its directory.
    t.teardown(() => made.engine.stop());
    return made;
}

/** A step that takes as long as it is allowed to. */
export function stepOf(
    name: string,
    run: (run: JobRun) => unknown,
    timeout: JobStep['timeout'] = 60,
): JobStep {
    return {
        name,
        timeout,
        run: async (job) => {
            const text = await run(job);
            return typeof text === 'string' ? text : `${name} done`;
        },
    };
}

/** Jobs that do what a test says. */
export function kindOf(chain: readonly JobStep[], changes: Partial<JobKind> = {}): JobKind {
    return {
        task: 'import-remote-image',
        name: 'import-remote-image-8.0.0',
        version: '8.0.0',
        timeout: 7250,
        busyTarget: 'attach',
        chain,
        onError: [],
        onCancel: [],
        ...changes,
    };
}

/** A wish for a job, of an image of its own. */
export function wishOf(params: NewJob['params'] = {}, changes: Partial<NewJob> = {}): NewJob {
    const imageUuid = changes.imageUuid ?? randomUUID();
    return {
        task: 'import-remote-image',
        target: `/import-remote-${imageUuid}`,
        imageUuid,
        uuid: randomUUID(),
        params: { image_uuid: imageUuid, source: 'https://images.example.com', ...params },
        ...changes,
    };
}

/** A job as it is now. @throws Error when there is none */
export async function jobOf(engine: EmbeddedEngine, uuid: string): Promise<JobView> {
    const view = await engine.find(uuid);
    if (view === undefined) {
        throw new Error(`no job ${uuid}`);
    }
    return view;
}

/** Waits until something holds of a job. */
export async function jobThat(
    engine: EmbeddedEngine,
    uuid: string,
    holds: (view: JobView) => boolean,
): Promise<JobView> {
    for (;;) {
        const view = await jobOf(engine, uuid);
        if (holds(view)) {
            return view;
        }
        await engine.nextChange(uuid, NEVER);
    }
}

/** Waits until a job is over, its clean-up included. */
export function overJob(engine: EmbeddedEngine, uuid: string): Promise<JobView> {
    return jobThat(
        engine,
        uuid,
        ({ document }) =>
            isTerminal(document.execution) && document['runner_id'] === null && !engine.isLive(uuid),
    );
}
