import { setTimeout as delay } from 'node:timers/promises';

/** Holds up work on bytes, so that there are no more than so many a second. */
export class RateLimit {
    readonly #perMs: number;
    /** When the bytes let through so far are paid for. */
    #paidAt = 0;

    /** @param rate bytes a second */
    constructor(rate: number) {
        this.#perMs = rate / 1000;
    }

    /** Resolves when so many more may pass; rejects with the reason of the signal. */
    async take(bytes: number, signal: AbortSignal): Promise<void> {
        const now = performance.now();
        this.#paidAt = Math.max(now, this.#paidAt) + bytes / this.#perMs;
        try {
            await delay(this.#paidAt - now, undefined, { signal });
        } catch (error) {
            signal.throwIfAborted();
            throw error;
        }
    }
}
