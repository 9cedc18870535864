/** Where the time comes from; tests pass their own. */
export interface Clock {
    /** Milliseconds since the epoch. */
    now(): number;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now() };
