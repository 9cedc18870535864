import { ApiError, resourceNotFound, serviceUnavailable } from '#lib/base/errors.js';
import {
    EXECUTIONS,
    isTerminal,
    type FinishedImage,
    type JobDocument,
    type JobView,
    type ProgressSnapshot,
} from '#lib/jobs/job.js';
import type { JobFilter, JobList, JobPage, StartedJob } from '#lib/jobs/job-engine.js';
import type { LocalJobs } from '#lib/jobs/services.js';

/** A job as a test wants it. */
export interface PlannedJob {
    readonly uuid: string;
    readonly execution: string;
    readonly imageUuid: string;
    readonly task?: string;
    readonly params?: JobDocument['params'];
    readonly origins?: readonly string[];
    readonly createdAt?: string;
    readonly progress?: Partial<ProgressSnapshot>;
    readonly finished?: readonly FinishedImage[];
    readonly more?: Readonly<Record<string, unknown>>;
}

/** A job engine that runs nothing: its jobs are what a test says they are. */
export class JobEngineDouble implements LocalJobs {
    readonly kind: 'embedded' | 'wfapi';
    readonly url: string | undefined;
    /** Whether this process may run jobs. */
    keeps = true;
    /** What every call fails with. */
    failure: ApiError | undefined;
    /** Lookups so far. */
    finds = 0;
    readonly #jobs = new Map<string, PlannedJob>();
    readonly #waiting = new Set<() => void>();

    constructor(kind: 'embedded' | 'wfapi' = 'embedded', url?: string) {
        this.kind = kind;
        this.url = url;
    }

    /** Readers that wait for something to happen. */
    get waiting(): number {
        return this.#waiting.size;
    }

    /** Adds a job, or changes one. */
    set(job: PlannedJob): void {
        this.#jobs.set(job.uuid, job);
        this.wake();
    }

    change(uuid: string, changes: Partial<PlannedJob>): void {
        const job = this.#jobs.get(uuid);
        if (job === undefined) throw new Error(`no job ${uuid}`);
        this.set({ ...job, ...changes });
    }

    remove(uuid: string): void {
        this.#jobs.delete(uuid);
        this.wake();
    }

    wake(): void {
        this.#waiting.forEach((wake) => wake());
    }

    requireAvailable(): void {
        this.requireKeeper();
    }

    requireKeeper(): void {
        if (!this.keeps) throw serviceUnavailable('job engine is owned by another process', 1);
    }

    async start(): Promise<StartedJob> {
        throw new Error('not part of this double');
    }

    async record(): Promise<string> {
        throw new Error('not part of this double');
    }

    async find(uuid: string): Promise<JobView | undefined> {
        this.finds += 1;
        this.#check();
        const job = this.#jobs.get(uuid);
        return job && view(job);
    }

    async list(filter: JobFilter, { offset, limit }: JobPage): Promise<JobList> {
        this.#check();
        if (filter.execution !== undefined && !(EXECUTIONS as readonly string[]).includes(filter.execution)) {
            throw new ApiError(
                'ConflictError',
                'Execution must be one of queued, failed, succeeded, canceled or running',
            );
        }
        const jobs = this.#documents().filter(
            (document) =>
                (filter.execution === undefined || document.execution === filter.execution) &&
                (filter.task === undefined || document.task === filter.task) &&
                (filter.image_uuid === undefined || document.image_uuid === filter.image_uuid) &&
                (filter.vm_uuid === undefined || document['vm_uuid'] === filter.vm_uuid) &&
                (filter.account === undefined || document.params?.['account'] === filter.account),
        );
        return { jobs: jobs.slice(offset, offset + limit), total: jobs.length };
    }

    async cancel(uuid: string): Promise<JobDocument> {
        const found = await this.find(uuid);
        if (found === undefined) throw resourceNotFound('no such job');
        if (isTerminal(found.document.execution)) {
            throw new ApiError('ConflictError', 'Finished jobs cannot be canceled');
        }
        this.change(uuid, { execution: 'canceled' });
        return { ...found.document, execution: 'canceled' };
    }

    async active(imageUuid: string): Promise<readonly JobDocument[]> {
        this.#check();
        return this.#documents().filter(
            (document) => document.image_uuid === imageUuid && !isTerminal(document.execution),
        );
    }

    async newest(imageUuid: string): Promise<JobDocument | undefined> {
        this.#check();
        return this.#documents().find(
            ({ uuid, image_uuid }) =>
                image_uuid === imageUuid || this.#jobs.get(uuid)?.origins?.includes(imageUuid) === true,
        );
    }

    async nextChange(_uuid: string, signal: AbortSignal): Promise<void> {
        await new Promise<void>((resolve, reject) => {
            const wake = (): void => {
                this.#waiting.delete(wake);
                signal.removeEventListener('abort', stop);
                resolve();
            };
            const stop = (): void => {
                this.#waiting.delete(wake);
                reject(signal.reason as Error);
            };
            this.#waiting.add(wake);
            signal.addEventListener('abort', stop);
        });
    }

    #check(): void {
        if (this.failure !== undefined) throw this.failure;
    }

    /** Newest first. */
    #documents(): JobDocument[] {
        return [...this.#jobs.values()]
            .map((job) => view(job).document)
            .sort((a, b) => (b.created_at ?? '').localeCompare(a.created_at ?? ''));
    }
}

function view(job: PlannedJob): JobView {
    const { uuid, execution, imageUuid, task = 'import-remote-image', params = {} } = job;
    return {
        document: {
            uuid,
            execution,
            task,
            image_uuid: imageUuid,
            params,
            created_at: job.createdAt ?? '2026-01-01T00:00:00.000Z',
            chain_results: [],
            ...job.more,
        },
        progress: {
            job_uuid: uuid,
            image_uuid: imageUuid,
            task,
            execution,
            step: null,
            current_image: null,
            images_done: 0,
            images_total: 1,
            bytes_done: 0,
            bytes_total: 1000,
            image_bytes_done: 0,
            image_bytes_total: 1000,
            rate: 0,
            eta: null,
            started_at: null,
            updated_at: '2026-01-01T00:00:00.000Z',
            attempt: 1,
            resumed_from: 0,
            error: null,
            ...job.progress,
        },
        finished: job.finished ?? [],
    };
}
