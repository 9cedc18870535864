/**
 * Lets so many tasks run at the same time; the others wait in the order they came. Their number is bounded by
 * the requests in flight.
 */
export class Places {
    #free: number;
    readonly #waiting = new Set<() => void>();

    constructor(limit: number) {
        this.#free = limit;
    }

    /**
     * Runs `task` when there is a place.
     *
     * @param signal ends the wait
     * @throws the reason of `signal`, or what `task` throws
     */
    async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
        signal?.throwIfAborted();
        if (this.#free > 0) {
            this.#free -= 1;
        } else {
            await this.#turn(signal);
        }
        try {
            return await task();
        } finally {
            this.#pass();
        }
    }

    /** The place of whoever ends goes to the one that waits longest. */
    #pass(): void {
        const [next] = this.#waiting;
        if (next === undefined) {
            this.#free += 1;
        } else {
            this.#waiting.delete(next);
            next();
        }
    }

    async #turn(signal: AbortSignal | undefined): Promise<void> {
        let stop: (() => void) | undefined;
        await new Promise<void>((resolve, reject) => {
            this.#waiting.add(resolve);
            stop = () => {
                if (this.#waiting.delete(resolve)) {
                    reject(signal?.reason as Error);
                }
            };
            signal?.addEventListener('abort', stop);
        }).finally(() => stop && signal?.removeEventListener('abort', stop));
    }
}
