/** Memory shared with the digest threads: equal slots that are filled, worked on and filled again in turn. */
export interface SharedRing {
    readonly id: number;
    readonly memory: SharedArrayBuffer;
    readonly slots: readonly Buffer[];
}

/** Slots in a ring: one being filled, the others being hashed and written. */
const SLOTS = 4;
/** Bytes in a slot while few files are received at a time. */
const LARGE_SLOT = 524_288;
/** Bytes in a slot of further rings: many slow clients must not cost many MiB each. */
const SMALL_SLOT = 65_536;
/** How many rings have large slots. */
const LARGE_RINGS = 16;

/**
 * Lends out rings and takes them back. There are never more of them than files received at one time,
 * and they are kept: the digest threads know them.
 */
export class RingPool {
    readonly #free: SharedRing[] = [];
    #made = 0;

    /** The ring with the largest slots that is free, else a new one. */
    take(): SharedRing {
        return this.#free.pop() ?? this.#make();
    }

    /** Takes back a ring that nobody works on any more. */
    give(ring: SharedRing): void {
        this.#free.push(ring);
        this.#free.sort((a, b) => a.memory.byteLength - b.memory.byteLength);
    }

    #make(): SharedRing {
        this.#made += 1;
        const size = this.#made <= LARGE_RINGS ? LARGE_SLOT : SMALL_SLOT;
        const memory = new SharedArrayBuffer(size * SLOTS);
        const slots = Array.from({ length: SLOTS }, (_none, index) =>
            Buffer.from(memory, index * size, size),
        );
        return { id: this.#made, memory, slots };
    }
}
