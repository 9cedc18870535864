/** Longest delay a timer can have, milliseconds. */
const MAX_DELAY_MS = 2_147_483_647;

/** Tells when a time is over that stands still now and then (jobs-and-imports 9.6). It begins standing. */
export class Stopwatch {
    readonly #onEnd: () => void;
    #limitMs: number;
    #spentMs = 0;
    #runningSince: number | undefined;
    #timer: NodeJS.Timeout | undefined;

    constructor(limitSeconds: number, onEnd: () => void) {
        this.#limitMs = limitSeconds * 1000;
        this.#onEnd = onEnd;
    }

    /** Changes how long the time is, what is spent of it included. Only while it stands still. */
    limit(seconds: number): void {
        this.#limitMs = seconds * 1000;
    }

    /** Goes on. */
    start(): void {
        if (this.#runningSince === undefined) {
            this.#runningSince = performance.now();
            const left = Math.min(Math.max(0, this.#limitMs - this.#spentMs), MAX_DELAY_MS);
            this.#timer = setTimeout(this.#onEnd, left);
        }
    }

    /** Stands still, for good if nobody starts it again. */
    stop(): void {
        if (this.#runningSince !== undefined) {
            clearTimeout(this.#timer);
            this.#spentMs += performance.now() - this.#runningSince;
            this.#runningSince = undefined;
        }
    }
}
