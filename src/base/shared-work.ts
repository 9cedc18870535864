import { untilAborted } from './until-aborted.js';

interface Running<T> {
    readonly result: Promise<T>;
    readonly stop: AbortController;
    waiting: number;
}

/**
 * Work that several want done at the same time: the first begins it, the others wait for the same result. It
 * is given up when the last of them has.
 */
export class SharedWork<T> {
    #running: Running<T> | undefined;

    /**
     * @param signal of the one who waits
     * @param begin does the work, unless it is being done; its signal ends it
     * @throws the reason of `signal`, or what the work throws
     */
    async join(signal: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
        signal.throwIfAborted();
        const running = (this.#running ??= this.#begin(begin));
        running.waiting += 1;
        try {
            return await untilAborted(signal, running.result);
        } finally {
            running.waiting -= 1;
            if (running.waiting === 0) {
                this.#forget(running);
                running.stop.abort();
            }
        }
    }

    #begin(begin: (signal: AbortSignal) => Promise<T>): Running<T> {
        const stop = new AbortController();
        const running: Running<T> = { result: begin(stop.signal), stop, waiting: 0 };
        const forget = (): void => this.#forget(running);
        running.result.then(forget, forget);
        return running;
    }

    /** Who comes from now on begins anew. */
    #forget(running: Running<T>): void {
        if (this.#running === running) {
            this.#running = undefined;
        }
    }
}
