import { RecentlyUsed } from '../../base/recently-used.js';
import type { StoredImage } from '../database.js';

/** Images whose last write is remembered; of others nothing is known, which only costs a call. */
const MAX_IMAGES = 1000;
/** How long an image counts as contended after somebody else was faster, milliseconds. */
const CONTENDED = 5000;
/** Longest gap, in durations of a cycle of reading, changing and writing, and in milliseconds. */
const GAP_CYCLES = 8;
const MAX_GAP = 400;

interface OwnWrite {
    /** Number of the write among all of this process. */
    readonly sequence: number;
    /** What was written; `undefined`: deleted, or somebody else was faster. */
    readonly image: StoredImage | undefined;
    /** When it was acknowledged, milliseconds on the process's clock. */
    readonly at: number;
    /** How long it took from the reading, milliseconds. */
    readonly cycle: number;
    readonly contendedUntil: number;
}

/** A point among the writes of this process. */
export type Since = number;

/**
 * Remembers what this process wrote, to know which earlier readings are outdated, and when to make
 * room for others. A process that writes the same image again and again could win every race
 * against one that must read first; so it leaves gaps of random length.
 */
export class OwnWrites {
    readonly #random: () => number;
    /** By uuid. */
    readonly #writes = new RecentlyUsed<OwnWrite>(MAX_IMAGES);
    /** When records were read, seen from the writes. */
    readonly #readings = new WeakMap<StoredImage, Since>();
    #sequence = 0;

    /** @param random a number from 0 up to 1, as `Math.random` */
    constructor(random: () => number) {
        this.#random = random;
    }

    /** This moment among the writes. */
    get now(): Since {
        return this.#sequence;
    }

    /** Notes when the reading of a record began. */
    noteReading(image: StoredImage, since: Since): void {
        this.#readings.set(image, since);
    }

    /** When the reading of a record began; `undefined` for one that was not read here. */
    readingOf(image: StoredImage): Since | undefined {
        return this.#readings.get(image);
    }

    /**
     * Notes an acknowledged write; `image` is what is stored now, `undefined` after a deletion.
     *
     * @param started when its record was read, on the clock of `performance.now`
     */
    noteWrite(uuid: string, image: StoredImage | undefined, started: number): void {
        const at = performance.now();
        const contendedUntil = this.#writes.get(uuid)?.contendedUntil ?? 0;
        this.#sequence += 1;
        this.#writes.set(uuid, { sequence: this.#sequence, image, at, cycle: at - started, contendedUntil });
        if (image !== undefined) {
            this.#readings.set(image, this.#sequence);
        }
    }

    /** Notes that somebody else wrote an image between a reading and the writing here. */
    noteConflict(uuid: string): void {
        const last = this.#writes.get(uuid);
        const contendedUntil = performance.now() + CONTENDED;
        this.#writes.set(uuid, {
            sequence: last?.sequence ?? 0,
            image: undefined,
            at: last?.at ?? 0,
            cycle: last?.cycle ?? 0,
            contendedUntil,
        });
    }

    /** Whether this process has written the image after that moment. */
    isOvertaken(uuid: string, since: Since): boolean {
        return (this.#writes.get(uuid)?.sequence ?? 0) > since;
    }

    /** What this process wrote last, if it did so after that moment and knows of nothing newer. */
    latest(uuid: string, since: Since): StoredImage | undefined {
        const last = this.#writes.get(uuid);
        return last !== undefined && last.sequence > since ? last.image : undefined;
    }

    /** Whether somebody else wrote the image at the same time as this process, a moment ago. */
    isContended(uuid: string): boolean {
        return (this.#writes.get(uuid)?.contendedUntil ?? 0) > performance.now();
    }

    /** How long to wait before writing the image again, milliseconds. */
    gap(uuid: string): number {
        const last = this.#writes.get(uuid);
        if (last === undefined) {
            return 0;
        }
        const length = this.#random() * Math.min(GAP_CYCLES * last.cycle, MAX_GAP);
        return Math.max(0, last.at + length - performance.now());
    }
}
