import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../../base/config-types.js';
import { makeDirectory } from '../../base/durable-files.js';
import { ApiError, imageUuidAlreadyExists, serviceUnavailable } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import { within } from '../../base/within.js';
import type { NewJob, StartedJob } from '../job-engine.js';
import type { JobKind } from '../job-kind.js';
import type { DoneJob } from '../services.js';
import { doesTheSame } from '../same-job.js';
import { acceptedRecord, doneRecord, type Acceptance } from './accept.js';
import { ImageLocks } from './image-locks.js';
import { canceled, CANCELED } from './job-changes.js';
import { holdsTarget } from './job-lists.js';
import { byAge, type JobRecord } from './job-record.js';
import { JobRunner } from './job-runner.js';
import type { JobStore } from './job-store.js';
import { LiveJob } from './live-job.js';
import { inResumeOrder, resumed } from './resume.js';
import { tooOld } from './retention.js';
import { Scheduler } from './scheduler.js';

/** What a {@link JobKeeper} is made from. */
export interface JobKeeperOptions {
    readonly config: ConfigSource;
    readonly directories: Pick<BaseDirectories, 'jobs' | 'staging'>;
    readonly kinds: readonly JobKind[];
    readonly store: JobStore;
    readonly clock: Clock;
    readonly log: Logger;
    readonly timing?: JobTiming;
}

/** How long things may take, milliseconds. */
export interface JobTiming {
    /** The end of a step that is canceled or cut off. */
    readonly graceMs: number;
    /** The end of all jobs. */
    readonly stopMs: number;
}

/** All within 10 s (jobs-and-imports 9.10). */
const TIMING: JobTiming = { graceMs: 8000, stopMs: 9000 };

/** The jobs of the process that keeps them: accepts, runs and forgets them (jobs-and-imports 9). */
export class JobKeeper {
    readonly #options: JobKeeperOptions;
    readonly #store: JobStore;
    readonly #locks = new ImageLocks();
    readonly #scheduler: Scheduler;
    /** Every job there is, oldest first. */
    readonly #jobs = new Map<string, LiveJob>();
    readonly #runners = new Map<string, JobRunner>();
    /** Jobs whose files are being written, by uuid. */
    readonly #accepting = new Map<string, { readonly target: string; readonly written: Promise<unknown> }>();
    readonly #stop = new AbortController();
    readonly #runnerId = newUuid();
    readonly #timing: JobTiming;
    /** That of the job that was accepted last. */
    #number = 0;

    constructor(options: JobKeeperOptions) {
        this.#options = options;
        this.#store = options.store;
        this.#timing = options.timing ?? TIMING;
        this.#scheduler = new Scheduler({
            maxRunning: () => options.config.current.jobs.maxRunning,
            run: (job) => this.#run(job),
        });
    }

    /**
     * Takes the jobs over from the process that has kept them before; nothing runs yet.
     *
     * @throws the file system's error when the directory cannot be read
     */
    async open(): Promise<void> {
        const { config, clock, directories, kinds } = this.#options;
        await makeDirectory(directories.jobs);
        const { maxRestarts } = config.current.jobs;
        const found = [...(await this.#store.load())].sort(byAge);
        this.#number = Math.max(0, ...found.map(({ own }) => own.number));
        for (const record of found) {
            const kind = kinds.find(({ task }) => task === record.task);
            const next = resumed(record, { kind, maxRestarts, now: clock.now() });
            const job = this.#keep(next);
            if (next !== record) {
                await job.settle((state) => ({ ...state }));
            }
        }
        for (const { uuid } of inResumeOrder(this.records())) {
            const job = this.#jobs.get(uuid);
            if (job !== undefined) {
                this.#holdImages(job);
                this.#scheduler.add(job);
            }
        }
        await this.removeOld();
    }

    /** Lets jobs run. */
    run(): void {
        this.#scheduler.start();
    }

    /** Ends everything so that the next process can go on with it (jobs-and-imports 9.10). */
    async stop(): Promise<void> {
        this.#stop.abort(new Error('the server stops'));
        const ended = async (): Promise<void> => {
            const accepting = [...this.#accepting.values()].map(({ written }) => written);
            await Promise.allSettled([this.#scheduler.stop(), ...accepting]);
            await Promise.all([...this.#jobs.values()].map((job) => job.close()));
        };
        const { stopMs } = this.#timing;
        await within(stopMs, ended()).catch((err: unknown) => {
            this.#options.log.error({ err }, 'not every job could be ended in time');
        });
        // A disk that does not answer must not keep the lock from being given away.
        await within(stopMs / 10, this.#store.close()).catch(() => undefined);
    }

    /** What all jobs are now, oldest first. */
    records(): readonly JobRecord[] {
        return [...this.#jobs.values()].map(({ state }) => state);
    }

    /** `undefined`: there is no such job. */
    get(uuid: string): LiveJob | undefined {
        return this.#jobs.get(uuid);
    }

    /** Whether anybody may still need what the job has put aside. */
    isLive(uuid: string): boolean {
        const job = this.#jobs.get(uuid);
        return job !== undefined && job.state.own.phase !== 'done';
    }

    /** @throws 503 when no more jobs can wait */
    requireRoom(): void {
        const { maxQueued } = this.#options.config.current.jobs;
        if (this.#scheduler.waiting + this.#accepting.size >= maxQueued) {
            throw serviceUnavailable('job queue is full');
        }
    }

    /** @throws as the port's `start` */
    async start(kind: JobKind, wish: NewJob): Promise<StartedJob> {
        const canAttach = kind.busyTarget === 'attach';
        let accepting: Promise<unknown> | undefined;
        while (canAttach && (accepting = this.#beingAccepted(wish.target)) !== undefined) {
            await accepting.catch(() => undefined);
        }
        // From here to the entry among those being accepted nothing is waited for.
        const attached = canAttach ? this.#attach(wish) : undefined;
        if (attached !== undefined) {
            return { uuid: attached.uuid, attached: true };
        }
        this.requireRoom();
        const job = await this.#write(acceptedRecord(kind, wish, this.#next()));
        this.#scheduler.add(job);
        return { uuid: job.uuid, attached: false };
    }

    /** Keeps a job that is over already. @throws 503 */
    async add(job: DoneJob): Promise<string> {
        const { uuid } = await this.#write(doneRecord(job, this.#next()));
        await this.removeOld();
        return uuid;
    }

    /** @throws 409 `ConflictError`, 503 */
    async cancel(job: LiveJob): Promise<void> {
        const now = this.#options.clock.now();
        const startedAt = this.#runners.get(job.uuid)?.stepStartedAt ?? new Date(now).toISOString();
        try {
            await job.commit((record) => canceled(record, now, startedAt));
        } catch (error) {
            throw error instanceof ApiError
                ? error
                : serviceUnavailable('could not save job', undefined, error);
        }
        job.meter.failed(CANCELED);
        this.#runners.get(job.uuid)?.cancel();
        this.#scheduler.hurry(job);
    }

    /** Forgets jobs that were over long ago. What cannot be removed is logged, and tried again. */
    async removeOld(): Promise<void> {
        const { config, clock, log } = this.#options;
        for (const { uuid } of tooOld(this.records(), config.current.jobs, clock.now())) {
            try {
                await this.#jobs.get(uuid)?.close();
                await this.#store.remove(uuid);
                this.#jobs.delete(uuid);
            } catch (err) {
                log.warn({ err, job_uuid: uuid }, 'old job could not be removed');
            }
        }
    }

    #next(): Acceptance {
        this.#number += 1;
        return { clock: this.#options.clock, number: this.#number };
    }

    #keep(record: JobRecord): LiveJob {
        const { clock, log } = this.#options;
        const job = new LiveJob({ record, store: this.#store, clock, log });
        this.#jobs.set(job.uuid, job);
        return job;
    }

    /** A job that has its file is one of ours. @throws 503: there is no such job */
    async #write(record: JobRecord): Promise<LiveJob> {
        const { uuid, target } = record;
        const written = this.#store.write(record);
        this.#accepting.set(uuid, { target, written });
        try {
            await written;
            return this.#keep(record);
        } catch (err) {
            // The file may be there all the same.
            await this.#store.remove(uuid).catch(() => undefined);
            throw serviceUnavailable('could not save job', undefined, err);
        } finally {
            this.#accepting.delete(uuid);
        }
    }

    #beingAccepted(target: string): Promise<unknown> | undefined {
        return [...this.#accepting.values()].find((one) => one.target === target)?.written;
    }

    /**
     * Finds the job that does what is wished for.
     *
     * @returns `undefined`: the target is free
     * @throws 409 `ImageUuidAlreadyExists` when the target is busy with something else
     */
    #attach(wish: NewJob): JobRecord | undefined {
        const busy = this.records().filter((record) => holdsTarget(record, wish));
        const same = busy.find((record) => doesTheSame(record.params, wish.params));
        if (same === undefined && busy.length > 0) {
            throw imageUuidAlreadyExists(wish.imageUuid);
        }
        return same;
    }

    /** Gives a job the images back that it has kept others from, if nobody has any of them. */
    #holdImages({ uuid, state }: LiveJob): void {
        if (!state.own.locks.every((imageUuid) => this.#locks.tryTake(imageUuid, uuid))) {
            this.#locks.release(uuid);
        }
    }

    /** One turn of a job. Never rejects. */
    async #run(job: LiveJob): Promise<void> {
        const { kinds, clock, directories } = this.#options;
        const kind = kinds.find(({ task }) => task === job.state.task);
        if (kind === undefined) {
            return;
        }
        const runner = new JobRunner({
            job,
            kind,
            locks: this.#locks,
            clock,
            stagingDirectory: directories.staging,
            runner: this.#runnerId,
            stop: this.#stop.signal,
            graceMs: this.#timing.graceMs,
        });
        this.#runners.set(job.uuid, runner);
        const isDone = await runner.run();
        this.#runners.delete(job.uuid);
        if (isDone) {
            this.#locks.release(job.uuid);
            await this.removeOld();
        }
    }
}
