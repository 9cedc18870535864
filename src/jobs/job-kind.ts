import type Logger from 'bunyan';
import type { JsonObject, JsonValue } from '../manifest/types.js';
import type { FinishedImage, StepError, Task } from './job.js';
import type { ProgressMeter } from './progress-meter.js';

/** What the steps of a job of the embedded engine know and can do (jobs-and-imports 9). */
export interface JobRun {
    readonly uuid: string;
    readonly target: string;
    readonly params: JsonObject;
    readonly hidden: JsonObject;
    readonly log: Logger;
    /** Aborted when the job is canceled, its time is up or the server stops. */
    readonly signal: AbortSignal;
    /** Whether an earlier process, or an earlier life of this one, has begun the step at hand. */
    readonly isRepeated: boolean;
    readonly progress: ProgressMeter;
    /** A directory of this job's own for part files, made when it is asked for; it goes when the job ends. */
    staging(): Promise<string>;
    /** Images this job has created or is about to create, oldest first. */
    readonly created: readonly string[];
    /** To be called before an image is created: resolves when a crash cannot make us forget it. */
    noteCreated(imageUuid: string): Promise<void>;
    /** What {@link remember} was given, merged. */
    readonly memory: JsonObject;
    /** Keeps facts for later steps and later processes; durable when it resolves. `null` forgets a key. */
    remember(facts: JsonObject): Promise<void>;
    /** Sets members of the job that everybody sees, e.g. `taskId`, `server_uuid`; durable when it resolves. */
    show(members: JsonObject): Promise<void>;
    /** Tells readers of the progress that an image is there. */
    finished(image: FinishedImage): void;
    /** Adds an entry to `info`. */
    inform(data: JsonValue): void;
    /**
     * Waits until no other job works on an image, and keeps others from it until this job has ended, its
     * clean-up included. To be asked for base first (jobs-and-imports 9.6). The step's clock stands still.
     *
     * @throws the reason of the signal
     */
    lock(imageUuid: string): Promise<void>;
}

/** One step of a chain. */
export interface JobStep {
    readonly name: string;
    /** Seconds; a transfer needs more for large files (jobs-and-imports 9.6). */
    readonly timeout: number | ((run: Pick<JobRun, 'params' | 'memory' | 'hidden'>) => number);
    /**
     * Does it, or finds it done already: any step may be repeated after a crash. What cannot be repeated throws
     * {@link JobInterrupted}.
     *
     * @returns the text of the result
     * @throws why it failed; the signal's reason when it was aborted
     */
    run(run: JobRun): Promise<string>;
}

/** How a job ended, for what follows from it. */
export interface JobEnd {
    readonly execution: 'failed' | 'canceled';
    readonly error: StepError;
}

/** What jobs of one task do. */
export interface JobKind {
    readonly task: Task;
    /** As jobs are named, e.g. `import-remote-image-8.0.0`. */
    readonly name: string;
    readonly version: string;
    /** Seconds; the sum of the steps' limits counts where that is more (jobs-and-imports 9.6). */
    readonly timeout: number;
    /** What to do when a job for a busy target is asked for: `wait`: run it later (jobs-and-imports 9.6). */
    readonly busyTarget: 'attach' | 'wait';
    readonly chain: readonly JobStep[];
    /** After a failed step; all of them run whatever comes of the others. `end` tells why. */
    readonly onError: readonly JobEndStep[];
    readonly onCancel: readonly JobEndStep[];
}

/** One step of the clean-up. */
export interface JobEndStep {
    readonly name: string;
    /** Seconds. */
    readonly timeout: number;
    /** @returns the text of the result @throws why it failed, which is only recorded */
    run(run: JobRun, end: JobEnd): Promise<string>;
}

/** A step was cut off by the end of a process and cannot be repeated (jobs-and-imports 9.3). */
export class JobInterrupted extends Error {
    readonly code = 'JobInterrupted';

    constructor() {
        super('job was interrupted by a server restart');
        this.name = 'JobInterrupted';
    }
}
