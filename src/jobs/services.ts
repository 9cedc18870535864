import type { ConfigSource } from '../base/config-types.js';
import type { KeyedQueue } from '../base/keyed-queue.js';
import type { ImageServices } from '../images/context.js';
import type { CopyTargets } from '../remotes/copy-target.js';
import type { StepResult, Task } from './job.js';
import type { JobEngine } from './job-engine.js';

/** A job that was done before it was written down, e.g. a re-copy (jobs-and-imports 8.2). */
export interface DoneJob {
    readonly task: Task;
    /** e.g. `recopy-image-8.0.0`. */
    readonly name: string;
    readonly version: string;
    readonly target: string;
    readonly imageUuid: string;
    readonly params: Readonly<Record<string, string | boolean>>;
    readonly results: readonly StepResult[];
}

/** The jobs kept in files of this server, which there are with any engine (jobs-and-imports 9.1). */
export interface LocalJobs extends JobEngine {
    /** Whether this process keeps them; others only read them (jobs-and-imports 9.4). */
    requireKeeper(): void;
    /** Keeps a finished job; durable when it resolves. @returns its uuid @throws 503 */
    record(job: DoneJob): Promise<string>;
}

/** What the use-cases that start jobs, or tell of them, need. */
export interface JobServices {
    readonly config: ConfigSource;
    readonly images: ImageServices;
    /** Where new jobs go. */
    readonly engine: JobEngine;
    /** The same as `engine` when that is the embedded one. */
    readonly local: LocalJobs;
    /** Image servers of other datacenters, which are asked to copy images from here. */
    readonly targets: CopyTargets;
    /**
     * Requests that look for a job of an image and start one if there is none, one after another by the
     * image's uuid. Entered before {@link ImageServices.imageQueue}, never in there.
     */
    readonly turns: KeyedQueue;
}
