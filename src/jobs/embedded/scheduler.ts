import type { LiveJob } from './live-job.js';

/** What a {@link Scheduler} is made from. */
export interface SchedulerOptions {
    /** Jobs that may run at a time. */
    readonly maxRunning: () => number;
    /** Runs a job; never rejects. */
    readonly run: (job: LiveJob) => Promise<void>;
}

/**
 * Whether a job must not run while another one of its target does. One that was canceled before it began
 * has done nothing there: what follows need not wait for hours.
 */
function needsTarget({ state }: LiveJob): boolean {
    return state.own.phase === 'chain' || state.started !== null;
}

/** Whether only what follows a cancel is left to do: little, which is not to wait for jobs that take hours. */
function isCanceled({ state }: LiveJob): boolean {
    return state.own.phase === 'oncancel';
}

/**
 * Gives jobs their turn: first come first served, one at a time of one target (jobs-and-imports 9.6).
 * A job that keeps others from an image runs at once, or those that run might wait for it for ever.
 */
export class Scheduler {
    readonly #options: SchedulerOptions;
    #waiting: readonly LiveJob[] = [];
    readonly #running = new Map<LiveJob, Promise<void>>();
    #mayRun = false;

    constructor(options: SchedulerOptions) {
        this.#options = options;
    }

    /** How many jobs wait for their turn. */
    get waiting(): number {
        return this.#waiting.length;
    }

    /** Puts a job at the end of the queue. */
    add(job: LiveJob): void {
        this.#waiting = [...this.#waiting, job];
        this.#fill();
    }

    /** Lets a job that waits have the next turn; any other job keeps its place. */
    hurry(job: LiveJob): void {
        if (this.#waiting.includes(job)) {
            this.#waiting = [job, ...this.#waiting.filter((one) => one !== job)];
            this.#fill();
        }
    }

    /** Lets jobs run. */
    start(): void {
        this.#mayRun = true;
        this.#fill();
    }

    /** Lets none begin any more; resolves when those that run have ended, which is not its doing. */
    async stop(): Promise<void> {
        this.#mayRun = false;
        await Promise.all(this.#running.values());
    }

    #fill(): void {
        while (this.#mayRun) {
            const next = this.#next();
            if (next === undefined) {
                return;
            }
            this.#waiting = this.#waiting.filter((job) => job !== next);
            this.#running.set(next, this.#run(next));
        }
    }

    #next(): LiveJob | undefined {
        const busy = new Set([...this.#running.keys()].map(({ state }) => state.target));
        const maxRunning = this.#options.maxRunning();
        const ending = [...this.#running.keys()].filter(isCanceled).length;
        const hasRoom = (job: LiveJob): boolean =>
            (isCanceled(job) ? ending : this.#running.size - ending) < maxRunning;
        for (const job of this.#waiting) {
            const mayHaveTarget = !(busy.has(job.state.target) && needsTarget(job));
            if (mayHaveTarget && (hasRoom(job) || job.state.own.locks.length > 0)) {
                return job;
            }
            if (job.state.started !== null) {
                // What it has begun is not over: no later job of its target comes in between.
                busy.add(job.state.target);
            }
        }
        return undefined;
    }

    async #run(job: LiveJob): Promise<void> {
        await this.#options.run(job);
        this.#running.delete(job);
        this.#fill();
    }
}
