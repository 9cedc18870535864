import type Logger from 'bunyan';

/** Work that is done again and again in the background (operations 1.9). */
export interface BackgroundTask {
    readonly name: string;
    /** Milliseconds from the start of the tasks to the first run. */
    readonly firstAfterMs: number;
    /** Milliseconds from the end of a run to the next one. */
    readonly everyMs: number;
    /** The same after a run that failed; absent: no other. */
    readonly retryMs?: number;
    /**
     * Rejects when it fails, or resolves to `false` when it has said why already.
     *
     * @param signal aborted when the server stops: end soon
     */
    readonly run: (signal: AbortSignal) => Promise<unknown>;
}

interface Scheduled {
    readonly task: BackgroundTask;
    timer: NodeJS.Timeout | undefined;
    running: Promise<boolean> | undefined;
    /** A run that was asked for and has not begun. */
    next: Promise<boolean> | undefined;
}

/** Longest delay a timer can have, milliseconds. */
const MAX_DELAY_MS = 2_147_483_647;

/** Runs tasks on their timers, never one of them twice at a time; their errors are logged. */
export class TaskScheduler {
    readonly #log: Logger;
    readonly #stop = new AbortController();
    readonly #scheduled: readonly Scheduled[];

    constructor(options: { readonly tasks: readonly BackgroundTask[]; readonly log: Logger }) {
        this.#log = options.log;
        this.#scheduled = options.tasks.map((task) => ({
            task,
            timer: undefined,
            running: undefined,
            next: undefined,
        }));
    }

    /** Sets the timers; they do not keep the process alive. */
    start(): void {
        for (const scheduled of this.#scheduled) {
            this.#schedule(scheduled, scheduled.task.firstAfterMs);
        }
    }

    /**
     * Runs a task now, or once more if it is running. Calls that come before that run begins share it.
     * Never rejects.
     *
     * @returns whether it did not fail; `undefined` when there is no such task
     */
    now(name: string): Promise<boolean> | undefined {
        const scheduled = this.#scheduled.find(({ task }) => task.name === name);
        if (scheduled === undefined) {
            return undefined;
        }
        scheduled.next ??= (scheduled.running ?? Promise.resolve(true)).then(() => {
            scheduled.next = undefined;
            clearTimeout(scheduled.timer);
            scheduled.running = this.#run(scheduled);
            return scheduled.running;
        });
        return scheduled.next;
    }

    /** Tells running tasks to end and resolves when they have; nothing runs afterwards. */
    async stop(): Promise<void> {
        this.#stop.abort(new Error('the server stops'));
        for (const scheduled of this.#scheduled) {
            clearTimeout(scheduled.timer);
        }
        await Promise.all(this.#scheduled.map(async ({ running }) => await running));
    }

    #schedule(scheduled: Scheduled, delayMs: number): void {
        if (this.#stop.signal.aborted) {
            return;
        }
        const timer = setTimeout(
            () => {
                scheduled.running = this.#run(scheduled);
            },
            Math.min(delayMs, MAX_DELAY_MS),
        );
        scheduled.timer = timer.unref();
    }

    async #run(scheduled: Scheduled): Promise<boolean> {
        const { task } = scheduled;
        const succeeded = await this.#attempt(task);
        scheduled.running = undefined;
        this.#schedule(scheduled, succeeded ? task.everyMs : (task.retryMs ?? task.everyMs));
        return succeeded;
    }

    async #attempt(task: BackgroundTask): Promise<boolean> {
        if (this.#stop.signal.aborted) {
            return false;
        }
        try {
            return (await task.run(this.#stop.signal)) !== false;
        } catch (err) {
            if (!this.#stop.signal.aborted) {
                this.#log.error({ err, task: task.name }, 'background task failed');
            }
            return false;
        }
    }
}
