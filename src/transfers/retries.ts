import { isTransient, retryAfterMs } from '../base/http-transient.js';

/** How often and when a transfer that broke off is tried again (jobs-and-imports 9.7). */
export interface RetryPolicy {
    /** Tries that may end without progress; the last of them ends the transfer. */
    readonly attempts: number;
    /** Pauses double from the first to the second, milliseconds. */
    readonly minMs: number;
    readonly maxMs: number;
    /** What counts as progress: so many bytes more than ever before; default 1 MiB. */
    readonly progressBytes?: number;
}

/** Retries of transfers of files, where nothing else is said. */
export const TRANSFER_RETRIES: RetryPolicy = { attempts: 5, minMs: 1000, maxMs: 60_000 };

/** Retries of transfers in requests, whose clients wait. */
export const REQUEST_RETRIES: RetryPolicy = { attempts: 3, minMs: 500, maxMs: 5000 };

const MEBIBYTE = 1024 * 1024;

/**
 * Counts the tries of one transfer. Bytes count by how far they reach: whoever starts over from zero keeps
 * the count, and makes progress only behind the point that was reached before.
 */
export class Retries {
    readonly #policy: RetryPolicy;
    readonly #random: () => number;
    /** How far the transfer was when it made progress last, and ever. */
    #counted = 0;
    #reached = 0;
    /** Tries without progress since. */
    #failures = 0;

    /** @param random in [0, 1) */
    constructor(policy: RetryPolicy, random: () => number = Math.random) {
        this.#policy = policy;
        this.#random = random;
    }

    /** Bytes have come. @param offset how many there are now */
    reached(offset: number): void {
        this.#reached = Math.max(this.#reached, offset);
    }

    /** A transfer goes on with bytes from before, which are no progress. */
    startAt(offset: number): void {
        if (offset > this.#reached) {
            this.#reached = offset;
            this.#counted = offset;
        }
    }

    /**
     * Counts a try that failed.
     *
     * @returns how long to wait before the next, milliseconds; `undefined`: there must be none
     */
    pauseAfter(error: unknown): number | undefined {
        const { attempts, minMs, maxMs, progressBytes = MEBIBYTE } = this.#policy;
        if (this.#reached - this.#counted >= progressBytes) {
            this.#failures = 0;
            this.#counted = this.#reached;
        } else {
            this.#failures += 1;
        }
        if (this.#failures >= attempts || !isTransient(error)) {
            return undefined;
        }
        const longest = Math.min(maxMs, minMs * 2 ** Math.max(0, this.#failures - 1));
        return Math.max((0.5 + this.#random() / 2) * longest, retryAfterMs(error, Date.now()));
    }
}
