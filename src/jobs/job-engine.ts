import type { JsonObject } from '../manifest/types.js';
import type { JobDocument, JobView, Task } from './job.js';

/** A job to be done. */
export interface NewJob {
    readonly task: Task;
    /** Jobs with one target do not run beside each other, e.g. `/import-remote-<uuid>`. */
    readonly target: string;
    readonly imageUuid: string;
    /** As the workflow gets them (jobs-and-imports 1.6, 3.4), without `task`, `target` and `workflow`. */
    readonly params: JsonObject;
    /**
     * Uuid of the job; a workflow service chooses its own. The import id in `params` is the same, so that
     * records can be marked with it before the job exists.
     */
    readonly uuid: string;
    /** The id the client gave its request; a workflow service gets it, too. */
    readonly requestId?: string;
    /** Kept with the job and shown to nobody, for what only the embedded engine needs to know. */
    readonly hidden?: JsonObject;
}

/** What became of the wish for a job. */
export interface StartedJob {
    readonly uuid: string;
    /** A job for the same target, of the same source and account, was there already (jobs-and-imports 9.6). */
    readonly attached: boolean;
}

/** Which jobs to list (jobs-and-imports 9.5). */
export interface JobFilter {
    readonly execution?: string;
    readonly task?: string;
    readonly image_uuid?: string;
    readonly vm_uuid?: string;
    readonly account?: string;
}

/** A page of a list of jobs. */
export interface JobPage {
    readonly offset: number;
    readonly limit: number;
}

/** Jobs, newest first. */
export interface JobList {
    readonly jobs: readonly JobDocument[];
    /** How many match in all. */
    readonly total: number;
}

/** Who runs jobs: this process, or a workflow service (jobs-and-imports 2, 9.1). */
export interface JobEngine {
    readonly kind: 'embedded' | 'wfapi';
    /** Where clients can ask for its jobs; `undefined`: at this server (jobs-and-imports 9.5). */
    readonly url: string | undefined;
    /**
     * Refuses a request that would start a job, if none can be started now.
     *
     * @throws 503 `Workflow API is down.`, `job engine is owned by another process`, `server is shutting down`
     */
    requireAvailable(): void;
    /**
     * Accepts a job: when this resolves, it survives a crash. An import whose target is busy with the same
     * source (or datacenter) and account is attached to; `create-from-vm` jobs of one target wait for each other.
     *
     * @throws 409 `ImageUuidAlreadyExists` when the target is busy with something else; 503
     * `job queue is full`, `could not save job` and those of {@link requireAvailable}; a workflow
     * service's own error
     */
    start(job: NewJob, signal: AbortSignal): Promise<StartedJob>;
    /** @returns `undefined`: there is no such job. @throws 503 */
    find(uuid: string, signal: AbortSignal): Promise<JobView | undefined>;
    /** @throws 409 `ConflictError` for an unknown execution, 503 */
    list(filter: JobFilter, page: JobPage, signal: AbortSignal): Promise<JobList>;
    /** @throws 404, 409 `ConflictError`, 503 */
    cancel(uuid: string, signal: AbortSignal): Promise<JobDocument>;
    /**
     * The queued or running jobs that import, copy or create an image, newest first; with `asOrigin` also
     * those that have it among their origins.
     *
     * @throws 503
     */
    active(imageUuid: string, signal: AbortSignal, asOrigin?: boolean): Promise<readonly JobDocument[]>;
    /**
     * The newest job that imports, copies or creates an image, or has it among its origins, in any state.
     *
     * @throws 503
     */
    newest(imageUuid: string, signal: AbortSignal): Promise<JobDocument | undefined>;
    /**
     * Resolves when a job may have changed: at once after it did in this process, else after a while.
     *
     * @throws the reason of `signal`
     */
    nextChange(uuid: string, signal: AbortSignal): Promise<void>;
}
