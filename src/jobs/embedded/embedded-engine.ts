import { ApiError, serverIsShuttingDown, serviceUnavailable } from '../../base/errors.js';
import { recent } from '../../base/recent.js';
import { Tally } from '../../base/tally.js';
import { isUuid } from '../../base/uuid.js';
import { jobNotFound } from '../find-job.js';
import { EXECUTIONS, isTerminal, type JobDocument, type JobView } from '../job.js';
import type { JobFilter, JobList, JobPage, NewJob, StartedJob } from '../job-engine.js';
import type { DoneJob, LocalJobs } from '../services.js';
import { about, matching, requireExecution } from './job-lists.js';
import { JobKeeper, type JobKeeperOptions } from './job-keeper.js';
import { shownJob, shownProgress, type JobRecord } from './job-record.js';
import { JobFiles, type JobStore } from './job-store.js';

/** What an {@link EmbeddedEngine} is made from. */
export interface EmbeddedEngineOptions extends Omit<JobKeeperOptions, 'store'> {
    /** Default: files in the directory of jobs. */
    readonly store?: JobStore;
}

/** How old what a process tells of jobs it does not keep may be, milliseconds (jobs-and-imports 9.4). */
const FILES_MAX_AGE_MS = 1000;
/** After that long a job may have changed without a word, milliseconds. */
const POLL_MS = 1000;

/**
 * Runs jobs in this process and keeps them in files (jobs-and-imports 9). Before {@link open}, which only the
 * holder of the lock calls, and after {@link stop} it answers from the files and starts nothing.
 */
export class EmbeddedEngine implements LocalJobs {
    readonly kind = 'embedded';
    readonly url = undefined;
    readonly #options: EmbeddedEngineOptions;
    readonly #store: JobStore;
    readonly #keeper: JobKeeper;
    /** The jobs of a process that does not keep them. */
    readonly #files: () => Promise<readonly JobRecord[]>;
    #isOpen = false;
    #mayRun = false;
    #stopped: Promise<void> | undefined;

    constructor(given: EmbeddedEngineOptions) {
        const log = given.log.child({ component: 'jobs' }, true);
        this.#options = { ...given, log };
        this.#store = given.store ?? new JobFiles({ directory: given.directories.jobs, log });
        this.#keeper = new JobKeeper({ ...this.#options, store: this.#store });
        this.#files = recent(() => this.#store.list(), FILES_MAX_AGE_MS, given.clock);
    }

    /**
     * Takes the jobs over. Only for the holder of the lock, once.
     *
     * @throws the file system's error when the directory cannot be read
     */
    async open(): Promise<void> {
        await this.#keeper.open();
        this.#isOpen = true;
        if (this.#mayRun) {
            this.#keeper.run();
        }
    }

    /** Lets jobs run, as soon as they are this process's: it can be reached. */
    run(): void {
        this.#mayRun = true;
        if (this.#isOpen) {
            this.#keeper.run();
        }
    }

    /** Ends everything so that the next process can go on with it, within 10 s (jobs-and-imports 9.10). */
    stop(): Promise<void> {
        this.#stopped ??= this.#keeper.stop();
        return this.#stopped;
    }

    /** Forgets jobs that were over long ago. */
    async removeOld(): Promise<void> {
        if (this.#isKeeper) {
            await this.#keeper.removeOld();
        }
    }

    /** Whether somebody may still need what the job has put aside, as far as this process knows. */
    isLive(uuid: string): boolean {
        return !this.#isKeeper || this.#keeper.isLive(uuid);
    }

    /** How many jobs there are. @throws 503 */
    async tally(): Promise<Tally<'task' | 'execution'>> {
        const tally = new Tally<'task' | 'execution'>();
        (await this.#all()).forEach(({ task, execution }) => tally.add({ task, execution }));
        return tally;
    }

    /** How many jobs there are in each state. @throws 503 */
    async counts(): Promise<Readonly<Record<string, number>>> {
        const all = await this.#all();
        const count = (state: string): number => all.filter(({ execution }) => execution === state).length;
        return Object.fromEntries(EXECUTIONS.map((state) => [state, count(state)]));
    }

    /** @throws 503 when no more jobs can wait here */
    requireRoom(): void {
        this.#keeper.requireRoom();
    }

    /** Files of jobs that could not be read. @throws the file system's error */
    countBad(): Promise<number> {
        return this.#store.countBad();
    }

    requireKeeper(): void {
        if (this.#stopped !== undefined) {
            throw serverIsShuttingDown();
        }
        if (!this.#isKeeper) {
            throw serviceUnavailable('job engine is owned by another process', 1);
        }
    }

    requireAvailable(): void {
        this.requireKeeper();
    }

    async start(job: NewJob): Promise<StartedJob> {
        this.requireKeeper();
        const kind = this.#options.kinds.find(({ task }) => task === job.task);
        if (kind === undefined) {
            throw new ApiError('NotAvailable', `jobs "${job.task}" are not available on this server`);
        }
        return await this.#keeper.start(kind, job);
    }

    async record(job: DoneJob): Promise<string> {
        this.requireKeeper();
        return await this.#keeper.add(job);
    }

    async find(uuid: string): Promise<JobView | undefined> {
        if (!isUuid(uuid)) {
            return undefined;
        }
        const record = this.#isKeeper
            ? this.#keeper.get(uuid)?.record
            : await this.#read(() => this.#store.find(uuid));
        return (
            record && {
                document: shownJob(record),
                progress: shownProgress(record),
                finished: record.own.finished,
            }
        );
    }

    async list(filter: JobFilter, { offset, limit }: JobPage): Promise<JobList> {
        requireExecution(filter.execution);
        const found = matching(await this.#all(), filter);
        return { jobs: this.#shown(found.slice(offset, offset + limit)), total: found.length };
    }

    async cancel(uuid: string): Promise<JobDocument> {
        this.requireKeeper();
        const job = this.#keeper.get(uuid);
        if (job === undefined) {
            throw jobNotFound(uuid);
        }
        await this.#keeper.cancel(job);
        return shownJob(job.record);
    }

    async active(imageUuid: string, _signal: AbortSignal, asOrigin = false): Promise<readonly JobDocument[]> {
        const found = about(await this.#all(), imageUuid, asOrigin);
        return this.#shown(found.filter(({ execution }) => !isTerminal(execution)));
    }

    async newest(imageUuid: string): Promise<JobDocument | undefined> {
        const [newest] = about(await this.#all(), imageUuid, true);
        return newest && this.#shown([newest])[0];
    }

    nextChange(uuid: string, signal: AbortSignal): Promise<void> {
        return new Promise((resolve, reject) => {
            const forget: (() => void)[] = [];
            const settle = (how: () => void): void => {
                forget.forEach((one) => one());
                how();
            };
            const onAbort = (): void => settle(() => reject(signal.reason as Error));
            const timer = setTimeout(() => settle(resolve), POLL_MS);
            forget.push(
                () => clearTimeout(timer),
                () => signal.removeEventListener('abort', onAbort),
                this.#keeper.get(uuid)?.onChange(() => settle(resolve)) ?? (() => undefined),
            );
            if (signal.aborted) {
                onAbort();
            } else {
                signal.addEventListener('abort', onAbort);
            }
        });
    }

    get #isKeeper(): boolean {
        return this.#isOpen && !this.#store.isClosed;
    }

    #all(): Promise<readonly JobRecord[]> {
        return this.#read(async () => (this.#isKeeper ? this.#keeper.records() : await this.#files()));
    }

    /** @throws 503 */
    async #read<T>(task: () => Promise<T>): Promise<T> {
        try {
            return await task();
        } catch (err) {
            this.#options.log.error({ err }, 'jobs could not be read');
            throw serviceUnavailable('jobs cannot be read at the moment', undefined, err);
        }
    }

    /** The numbers of this moment are worth computing for what is shown only. */
    #shown(records: readonly JobRecord[]): readonly JobDocument[] {
        return records.map((record) => shownJob(this.#keeper.get(record.uuid)?.record ?? record));
    }
}
