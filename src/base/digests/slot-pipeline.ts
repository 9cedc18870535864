import type { DigestRun } from './digest-pool.js';

/** Where the bytes go while they are hashed. */
export interface SlotSink<Closed> {
    /** Takes a chunk; resolves when it may be reused and the next one may come. */
    write(chunk: Buffer): Promise<void>;
    /** No chunk follows. */
    close(): Promise<Closed>;
}

/** Bytes that have all been hashed and written. */
export interface EndedSlots<Hashed, Closed> {
    /** Of the bytes as they came. */
    readonly digests: Hashed;
    /** What the sink says of them. */
    readonly closed: Closed;
}

/**
 * Collects chunks in the slots of a ring and hands each full slot to the digest threads and to the
 * sink at the same time. A slot is used again when both are done with it: that is the back-pressure.
 */
export class SlotPipeline<Hashed, Closed> {
    readonly #run: DigestRun<Hashed>;
    readonly #sink: SlotSink<Closed>;
    readonly #onFailure: (error: unknown) => void;
    readonly #slotSize: number;
    /** For each slot, the work on what it held last. */
    readonly #busy: Promise<unknown>[];
    #written: Promise<void> = Promise.resolve();
    #slot = 0;
    #filled = 0;

    /** @param onFailure told at once when hashing or writing fails, as nobody may be waiting for it */
    constructor(run: DigestRun<Hashed>, sink: SlotSink<Closed>, onFailure: (error: unknown) => void) {
        this.#run = run;
        this.#sink = sink;
        this.#onFailure = onFailure;
        this.#slotSize = run.ring.slots[0]?.length ?? 0;
        this.#busy = run.ring.slots.map(() => Promise.resolve());
    }

    /** Takes a chunk, which may be reused afterwards. @throws what hashing or writing threw */
    async push(chunk: Buffer): Promise<void> {
        for (let taken = 0; taken < chunk.length;) {
            if (this.#filled === 0) {
                await this.#busy[this.#slot];
            }
            const count = Math.min(this.#slotSize - this.#filled, chunk.length - taken);
            this.#run.ring.slots[this.#slot]?.set(chunk.subarray(taken, taken + count), this.#filled);
            this.#filled += count;
            taken += count;
            if (this.#filled === this.#slotSize) {
                this.#dispatch();
            }
        }
    }

    /** Hands on what is left and closes the sink. */
    async end(): Promise<EndedSlots<Hashed, Closed>> {
        if (this.#filled > 0) {
            this.#dispatch();
        }
        await this.#written;
        const [digests, closed] = await Promise.all([this.#run.end(), this.#sink.close()]);
        return { digests, closed };
    }

    /** Resolves when nothing touches the ring any more. */
    async settled(): Promise<void> {
        await Promise.allSettled(this.#busy);
    }

    #dispatch(): void {
        const { slots } = this.#run.ring;
        const slot = this.#slot;
        const bytes = slots[slot]?.subarray(0, this.#filled) ?? Buffer.alloc(0);
        this.#written = this.#written.then(() => this.#sink.write(bytes));
        const work = Promise.all([this.#written, this.#run.update(slot * this.#slotSize, bytes.length)]);
        work.catch(this.#onFailure);
        this.#busy[slot] = work;
        this.#slot = (slot + 1) % slots.length;
        this.#filled = 0;
    }
}
