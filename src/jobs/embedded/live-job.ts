import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { isTerminal } from '../job.js';
import type { JobRecord } from './job-record.js';
import type { JobStore } from './job-store.js';
import { JobMeter } from './progress.js';

/** How often numbers that grow all the time are saved, milliseconds (jobs-and-imports 9.4). */
const SAVE_MS = 5000;

/** A function from one state of a job to the next; the same record: nothing changes. */
export type JobChange = (record: JobRecord) => JobRecord;

/** What a {@link LiveJob} is made from. */
export interface LiveJobOptions {
    readonly record: JobRecord;
    readonly store: JobStore;
    readonly clock: Clock;
    readonly log: Logger;
}

/** A job in the process that keeps it: what it is now, and that its file says the same soon. */
export class LiveJob {
    readonly uuid: string;
    readonly log: Logger;
    readonly meter: JobMeter;
    readonly #store: JobStore;
    readonly #clock: Clock;
    readonly #waiting = new Set<() => void>();
    #record: JobRecord;
    /** The last change that was asked for: they are made one after another. */
    #tail: Promise<void> = Promise.resolve();
    #timer: NodeJS.Timeout | undefined;

    constructor({ record, store, clock, log }: LiveJobOptions) {
        this.uuid = record.uuid;
        this.log = log.child({ job_uuid: record.uuid, req_id: record.params['req_id'] });
        this.#record = record;
        this.#store = store;
        this.#clock = clock;
        this.meter = new JobMeter({
            clock,
            progress: record.progress,
            numbers: record.own.numbers,
            onChange: () => this.#changed(),
        });
    }

    /** What it is now, the numbers included. */
    get record(): JobRecord {
        return this.#withNumbers(this.#record);
    }

    /** As {@link record}, without the work of counting. */
    get state(): JobRecord {
        return this.#record;
    }

    /**
     * Makes a change that everybody sees when it is durable, which it is when this resolves.
     *
     * @param change is called once or twice and must be the same each time
     * @throws the file system's error, and what `change` throws: then nothing has changed
     */
    commit(change: JobChange): Promise<void> {
        return this.#inTurn(async () => {
            const before = this.#record;
            const next = change(before);
            if (next !== before) {
                await this.#store.write(this.#withNumbers(next));
                this.#apply(change);
            }
        });
    }

    /** As {@link commit}; a change that cannot be saved is made nevertheless, and saved as soon as possible. */
    settle(change: JobChange): Promise<void> {
        return this.#inTurn(async () => {
            const next = change(this.#record);
            if (next === this.#record) {
                return;
            }
            try {
                await this.#store.write(this.#withNumbers(next));
            } catch (err) {
                this.#complain(err);
            }
            this.#apply(change);
        });
    }

    /** Makes a change at once, which is saved within seconds. */
    note(change: JobChange): void {
        this.#apply(change);
        this.#changed();
    }

    /** Calls `wake` at the next change. @returns takes that back */
    onChange(wake: () => void): () => void {
        this.#waiting.add(wake);
        return () => this.#waiting.delete(wake);
    }

    /** Resolves when no change is under way; what waits for a better moment is dropped. */
    async close(): Promise<void> {
        clearTimeout(this.#timer);
        await this.#tail;
    }

    #withNumbers(record: JobRecord): JobRecord {
        const { started, execution } = record;
        const runsNow = started !== null && !isTerminal(execution);
        return {
            ...record,
            ...(runsNow ? { elapsed: (this.#clock.now() - started) / 1000 } : {}),
            progress: this.meter.numbers,
            own: { ...record.own, numbers: this.meter.kept },
        };
    }

    #inTurn(task: () => Promise<void>): Promise<void> {
        const turn = this.#tail.then(task);
        this.#tail = turn.catch(() => undefined);
        return turn;
    }

    #apply(change: JobChange): void {
        this.#record = change(this.#record);
        this.#wake();
    }

    #changed(): void {
        this.#wake();
        this.#saveSoon();
    }

    #saveSoon(): void {
        if (this.#timer === undefined && !this.#store.isClosed) {
            this.#timer = setTimeout(() => void this.#save(), SAVE_MS).unref();
        }
    }

    #save(): Promise<void> {
        return this.#inTurn(async () => {
            this.#timer = undefined;
            try {
                await this.#store.write(this.record);
            } catch (err) {
                this.#complain(err);
            }
        });
    }

    #complain(err: unknown): void {
        if (!this.#store.isClosed) {
            this.log.error({ err }, 'job could not be saved: tried again');
            this.#saveSoon();
        }
    }

    #wake(): void {
        const waiting = [...this.#waiting];
        this.#waiting.clear();
        waiting.forEach((wake) => wake());
    }
}
