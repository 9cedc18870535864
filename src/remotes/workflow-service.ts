import type { JsonObject } from '../manifest/types.js';

/** One step of a workflow; bodies are the source text of functions (jobs-and-imports 2.4). */
export interface WorkflowTask {
    readonly name: string;
    /** Seconds. */
    readonly timeout: number;
    readonly retry: number;
    /** `function (job, cb)`. */
    readonly body: string;
    /** `function (err, job, cb)`, called when the body fails. */
    readonly fallback?: string;
    /** Global name to the module that is loaded for it. */
    readonly modules: Readonly<Record<string, string>>;
}

/** What a workflow service runs as a job. */
export interface Workflow {
    /** With the version, e.g. `import-remote-image-8.0.0`: the service knows workflows by it. */
    readonly name: string;
    readonly version: string;
    /** Seconds. */
    readonly timeout: number;
    readonly chain: readonly WorkflowTask[];
    readonly onerror: readonly WorkflowTask[];
    readonly oncancel: readonly WorkflowTask[];
}

/** A workflow as the service keeps it; only its uuid is sure. */
export interface StoredWorkflow {
    readonly uuid: string;
    readonly [key: string]: unknown;
}

/** A job as the service keeps it; only these are sure (jobs-and-imports 2.5). */
export interface ServiceJob extends JsonObject {
    readonly uuid: string;
    readonly execution: string;
}

/** Which jobs to list; further keys are parameters of jobs. */
export type JobQuery = Readonly<Record<string, string>>;

/** Jobs in the order of the service. */
export interface ServiceJobs {
    readonly jobs: readonly ServiceJob[];
    /** How many match in all; absent: it did not say. */
    readonly total?: number;
}

/**
 * A workflow service (jobs-and-imports 2.3). Every call ends within seconds, with an OutgoingError when it
 * fails: of kind `status` when the service refuses, with its body; of others when it cannot be asked.
 */
export interface WorkflowService {
    readonly url: string;
    /** @throws Error also when the service says that its own storage is down */
    ping(signal: AbortSignal): Promise<void>;
    /** Whether it looks for workflows. @throws OutgoingError, but not because there is no such one */
    lookUp(uuid: string, signal: AbortSignal): Promise<void>;
    workflowsNamed(name: string, signal: AbortSignal): Promise<readonly StoredWorkflow[]>;
    /** @returns its uuid */
    createWorkflow(workflow: Workflow, signal: AbortSignal): Promise<string>;
    replaceWorkflow(uuid: string, workflow: Workflow, signal: AbortSignal): Promise<void>;
    /**
     * Not sent again when it may have arrived.
     *
     * @param requestId of the client's request, if the client chose one
     */
    createJob(job: JsonObject, requestId: string | undefined, signal: AbortSignal): Promise<ServiceJob>;
    /** @returns `undefined`: there is no such job */
    job(uuid: string, signal: AbortSignal): Promise<ServiceJob | undefined>;
    jobs(query: JobQuery, signal: AbortSignal): Promise<ServiceJobs>;
    cancelJob(uuid: string, signal: AbortSignal): Promise<ServiceJob>;
}
