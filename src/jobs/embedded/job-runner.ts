import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import { untilAborted } from '../../base/until-aborted.js';
import { TookTooLong, within } from '../../base/within.js';
import type { StepFacts, StepResult } from '../job.js';
import type { JobEnd, JobEndStep, JobKind, JobStep } from '../job-kind.js';
import type { ImageLocks } from './image-locks.js';
import { began, finished, stepBegan, stepEnded, stepsOver, waitsAgain, workFailed } from './job-changes.js';
import type { JobRecord } from './job-record.js';
import type { LiveJob } from './live-job.js';
import { stepError, TaskTimeoutError } from './step-error.js';
import { StepRun } from './step-run.js';
import { Stopwatch } from './stopwatch.js';

/** What a {@link JobRunner} is made from. */
export interface JobRunnerOptions {
    readonly job: LiveJob;
    readonly kind: JobKind;
    readonly locks: ImageLocks;
    readonly clock: Clock;
    readonly stagingDirectory: string;
    /** Uuid of whoever runs jobs here. */
    readonly runner: string;
    /** Aborted when the server stops. */
    readonly stop: AbortSignal;
    /** How long a step may take to notice that it is not wanted any more, milliseconds. */
    readonly graceMs: number;
}

/** What came of a step. */
type Outcome =
    | { readonly kind: 'done'; readonly text: string }
    | { readonly kind: 'failed'; readonly error: unknown }
    | { readonly kind: 'stopped' };

/** How one step is to be done. */
interface Doing {
    readonly name: string;
    /** Seconds. */
    readonly timeout: number;
    /** Ends the step from outside. */
    readonly signal: AbortSignal;
    readonly run: (run: StepRun) => Promise<string>;
}

/** Seconds a step may take, as far as that is known now. */
function stepLimit(step: JobStep, record: Pick<JobRecord, 'params' | 'own'>): number {
    const { params, own } = record;
    return typeof step.timeout === 'number'
        ? step.timeout
        : step.timeout({ params, memory: own.memory, hidden: own.hidden });
}

/** Seconds a job may take (jobs-and-imports 9.6). */
export function jobLimit(kind: JobKind, chain: readonly StepFacts[]): number {
    return Math.max(
        kind.timeout,
        chain.reduce((sum, { timeout }) => sum + timeout, 0),
    );
}

/** Does one job, from where it is, to its end or until the server stops (jobs-and-imports 9.3). */
export class JobRunner {
    readonly #options: JobRunnerOptions;
    readonly #job: LiveJob;
    /** Aborted when the work itself must end: the job is canceled, or has taken too long. */
    readonly #work = new AbortController();
    #total: Stopwatch | undefined;
    #stepStartedAt: string | undefined;

    constructor(options: JobRunnerOptions) {
        this.#options = options;
        this.#job = options.job;
    }

    /** When the step at hand began, ISO date; `undefined`: none has. */
    get stepStartedAt(): string | undefined {
        return this.#stepStartedAt;
    }

    /** Ends the work: the record says already that the job is canceled. */
    cancel(): void {
        this.#work.abort(new Error('the job is canceled'));
    }

    /**
     * Never rejects.
     *
     * @returns whether it is done; `false`: the server stops
     */
    async run(): Promise<boolean> {
        const { clock, stop, runner } = this.#options;
        const job = this.#job;
        await job.settle((record) => began(record, clock.now(), runner));
        job.log.info({ execution: job.state.execution, restarts: job.state.restarts }, 'job begins');
        try {
            await this.#retakeLocks();
            while (!stop.aborted) {
                const doing = this.#next();
                if (doing === undefined) {
                    await this.#finish();
                    return true;
                }
                await doing();
            }
        } catch (err) {
            // A mistake, or locks that an earlier process has left to two jobs in different orders.
            if (!stop.aborted) {
                await this.#giveUp(err);
                return true;
            }
        } finally {
            this.#total?.stop();
        }
        job.meter.at(null);
        await job.settle(waitsAgain);
        return false;
    }

    /** An earlier process may have left it with images that it still needs. */
    async #retakeLocks(): Promise<void> {
        const { locks, stop } = this.#options;
        for (const imageUuid of this.#job.state.own.locks) {
            await locks.take(imageUuid, this.#job.uuid, stop);
        }
    }

    /** The step at hand; `undefined`: none is left. */
    #next(): (() => Promise<void>) | undefined {
        const { kind } = this.#options;
        const { phase, end } = this.#job.state.own;
        const index = stepsOver(this.#job.state);
        if (phase === 'chain') {
            const step = kind.chain[index];
            return step && (() => this.#workStep(step, index));
        }
        const step = phase === 'onerror' ? kind.onError[index] : kind.onCancel[index];
        return phase === 'done' || step === undefined || end === null
            ? undefined
            : () => this.#endStep(phase, step, end);
    }

    async #workStep(step: JobStep, index: number): Promise<void> {
        const job = this.#job;
        const { name } = step;
        const timeout = stepLimit(step, job.state);
        this.#restartTotal(index, timeout);
        const { outcome, result } = await this.#perform({
            name,
            timeout,
            signal: this.#work.signal,
            run: (run) => step.run(run),
        });
        if (outcome.kind === 'failed') {
            const error = stepError(outcome.error);
            if (job.state.own.phase === 'chain') {
                job.meter.failed(error);
                job.log.warn({ err: outcome.error, step: name }, 'job step failed');
            }
            await job.settle((record) => workFailed(record, { ...result, error }, error));
        } else if (outcome.kind === 'done') {
            await job.settle((record) => stepEnded(record, 'chain', result));
            job.log.info({ step: name, result: outcome.text }, 'job step');
        }
    }

    async #endStep(phase: 'onerror' | 'oncancel', step: JobEndStep, end: JobEnd): Promise<void> {
        const job = this.#job;
        const { name, timeout } = step;
        const { outcome, result } = await this.#perform({
            name,
            timeout,
            signal: this.#options.stop,
            run: (run) => step.run(run, end),
        });
        if (outcome.kind === 'failed') {
            const error = stepError(outcome.error);
            await job.settle((record) => stepEnded(record, phase, { ...result, error }));
            job.log.info({ step: name, error }, 'job step');
        } else if (outcome.kind === 'done') {
            await job.settle((record) => stepEnded(record, phase, result));
            job.log.info({ step: name, result: outcome.text }, 'job step');
        }
    }

    /** The limit of a step may be known better by now than when the job was accepted. */
    #restartTotal(index: number, timeout: number): void {
        const job = this.#job;
        const { kind } = this.#options;
        const chain = job.state.chain.map((facts, at) => (at === index ? { ...facts, timeout } : facts));
        if (job.state.chain[index]?.timeout !== timeout) {
            job.note((record) => ({ ...record, chain, timeout: jobLimit(kind, chain) }));
        }
        const limit = (): void => this.#work.abort(new TaskTimeoutError('workflow timeout'));
        this.#total ??= new Stopwatch(0, limit);
        this.#total.limit(jobLimit(kind, chain));
    }

    async #perform(doing: Doing): Promise<{ readonly outcome: Outcome; readonly result: StepResult }> {
        const job = this.#job;
        const { name } = doing;
        const isRepeated = job.state.own.begun;
        const started_at = this.#now();
        this.#stepStartedAt = started_at;
        job.meter.at(name);
        await job.settle(stepBegan);
        const outcome = await this.#attempt(doing, isRepeated);
        const text = outcome.kind === 'done' ? outcome.text : '';
        return { outcome, result: { result: text, error: '', name, started_at, finished_at: this.#now() } };
    }

    async #attempt({ name, timeout, signal: outer, run }: Doing, isRepeated: boolean): Promise<Outcome> {
        const { stop, locks, stagingDirectory } = this.#options;
        const limit = new AbortController();
        const watch = new Stopwatch(timeout, () => limit.abort(new TaskTimeoutError('task timeout error')));
        const signal = AbortSignal.any([stop, outer, limit.signal]);
        const clocks = [watch, ...(this.#total === undefined ? [] : [this.#total])];
        const now = (): string => this.#now();
        const step = new StepRun({
            job: this.#job,
            signal,
            isRepeated,
            locks,
            stagingDirectory,
            clocks,
            now,
        });
        clocks.forEach((clock) => clock.start());
        try {
            signal.throwIfAborted();
            return { kind: 'done', text: await this.#untilEnded(name, run(step), signal) };
        } catch (error) {
            const reason: unknown = signal.aborted ? signal.reason : error;
            return stop.aborted && reason === stop.reason
                ? { kind: 'stopped' }
                : { kind: 'failed', error: reason };
        } finally {
            step.end();
            clocks.forEach((clock) => clock.stop());
        }
    }

    /** A step that is to end may finish, and has some time to notice. */
    async #untilEnded(name: string, work: Promise<string>, signal: AbortSignal): Promise<string> {
        try {
            return await untilAborted(signal, work);
        } catch (error) {
            if (!signal.aborted) {
                throw error;
            }
        }
        try {
            return await within(this.#options.graceMs, work);
        } catch (error) {
            if (error instanceof TookTooLong) {
                this.#job.log.error({ step: name }, 'the step does not end: not waited for any longer');
            }
            throw error;
        }
    }

    async #finish(): Promise<void> {
        const job = this.#job;
        await this.#dropStaged();
        job.meter.at(null);
        await job.settle((record) => finished(record, this.#options.clock.now()));
        const { execution, elapsed, own } = job.state;
        job.log.info({ execution, elapsed, error: own.end?.error }, 'job is over');
    }

    /** What cannot be removed is swept later. */
    async #dropStaged(): Promise<void> {
        const { uuid, log } = this.#job;
        const directory = join(this.#options.stagingDirectory, uuid);
        await rm(directory, { recursive: true, force: true }).catch((err: unknown) =>
            log.warn({ err }, 'staged files could not be removed'),
        );
    }

    /** A mistake in the kind of job must not keep a job, and its images, for ever. */
    async #giveUp(err: unknown): Promise<void> {
        const { clock } = this.#options;
        const job = this.#job;
        job.log.error({ err }, 'job cannot go on: ended without its clean-up');
        const error = stepError(err);
        const at = this.#now();
        const name = job.state.chain[stepsOver(job.state)]?.name ?? job.state.name;
        const result: StepResult = { result: '', error, name, started_at: at, finished_at: at };
        await this.#dropStaged();
        job.meter.failed(error);
        job.meter.at(null);
        await job.settle((record) => finished(workFailed(record, result, error), clock.now()));
    }

    #now(): string {
        return new Date(this.#options.clock.now()).toISOString();
    }
}
