import type { JobRecord } from '#lib/jobs/embedded/job-record.js';
import { StoreClosed, type JobStore } from '#lib/jobs/embedded/job-store.js';

/** What the next calls of {@link MemoryJobs} do instead of their work. */
export interface JobStoreFaults {
    /** Every write throws it. */
    write?: Error | undefined;
    /** Every removal throws it. */
    remove?: Error | undefined;
    /** Every reading throws it. */
    read?: Error | undefined;
    /** Writes wait for it. */
    until?: Promise<void> | undefined;
}

/** Keeps jobs in memory as a disk would, and remembers what it held after each change. */
export class MemoryJobs implements JobStore {
    readonly faults: JobStoreFaults = {};
    /** What it held after each change, oldest first: what a crash at that point would have left. */
    readonly history: ReadonlyMap<string, string>[] = [];
    readonly #texts: Map<string, string>;
    isClosed = false;

    constructor(texts: ReadonlyMap<string, string> = new Map()) {
        this.#texts = new Map(texts);
    }

    /** What it holds. */
    get texts(): ReadonlyMap<string, string> {
        return new Map(this.#texts);
    }

    async write(record: JobRecord): Promise<void> {
        const text = JSON.stringify(record);
        await this.faults.until;
        await this.#change(this.faults.write, () => this.#texts.set(record.uuid, text));
    }

    async remove(uuid: string): Promise<void> {
        await this.#change(this.faults.remove, () => this.#texts.delete(uuid));
    }

    async close(): Promise<void> {
        this.isClosed = true;
    }

    async load(): Promise<readonly JobRecord[]> {
        return this.list();
    }

    async countBad(): Promise<number> {
        return 0;
    }

    async list(): Promise<readonly JobRecord[]> {
        if (this.faults.read !== undefined) {
            throw this.faults.read;
        }
        return [...this.#texts.values()].map((text) => JSON.parse(text) as JobRecord);
    }

    async find(uuid: string): Promise<JobRecord | undefined> {
        return (await this.list()).find((record) => record.uuid === uuid);
    }

    async #change(fault: Error | undefined, make: () => void): Promise<void> {
        // A disk takes its time: others may do something meanwhile.
        await new Promise((resolve) => setImmediate(resolve));
        if (this.isClosed) {
            throw new StoreClosed();
        }
        if (fault !== undefined) {
            throw fault;
        }
        make();
        this.history.push(this.texts);
    }
}
