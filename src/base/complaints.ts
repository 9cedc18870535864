import type { Clock } from './clock.js';

/** The same complaint is not repeated within that time, milliseconds (operations 1.2). */
const REPEAT_MS = 60_000;

/** Remembers what the log was told of, so that what goes on being wrong does not fill it. */
export class Complaints {
    readonly #clock: Clock;
    /** When each was made last. They are texts of the program, so there are but a few. */
    readonly #madeAt = new Map<string, number>();

    constructor(clock: Clock) {
        this.#clock = clock;
    }

    /** Whether to make a complaint now, which then counts as made. @param complaint a fixed text */
    isDue(complaint: string): boolean {
        const now = this.#clock.now();
        const madeAt = this.#madeAt.get(complaint) ?? -Infinity;
        // A clock that was set back must not silence it.
        if (Math.abs(now - madeAt) < REPEAT_MS) {
            return false;
        }
        this.#madeAt.set(complaint, now);
        return true;
    }
}
