import type { LayerProgress } from './layer.js';

type Tell = (progress: LayerProgress) => void;

interface Waiter<Taken> {
    readonly tell: Tell;
    readonly resolve: (taken: Taken | undefined) => void;
    readonly reject: (error: unknown) => void;
}

/** What a {@link SharedTransfer} does, and what those who wait for it get. */
export interface TransferWork<Result, Taken> {
    /** @param signal aborted when nobody waits any more */
    readonly run: (tell: Tell, signal: AbortSignal) => Promise<Result>;
    /** Makes of the result what each of them gets; called for all in the same moment. */
    readonly take: (result: Result) => Taken;
    /** No further one may come. */
    readonly onEnd: () => void;
}

/** A transfer that any number of callers wait for, each for as long as it likes (jobs-and-imports 5.3). */
export class SharedTransfer<Result, Taken> {
    readonly #work: TransferWork<Result, Taken>;
    readonly #stop = new AbortController();
    readonly #waiters = new Set<Waiter<Taken>>();
    readonly #settled: Promise<void>;
    #starter: Waiter<Taken> | undefined;
    #last: LayerProgress | undefined;

    constructor(work: TransferWork<Result, Taken>) {
        this.#work = work;
        this.#settled = work
            .run((progress) => this.#tell(progress), this.#stop.signal)
            .then(
                (result) => this.#succeeded(result),
                (error: unknown) => this.#failed(error),
            );
    }

    /**
     * Waits for the end, and hears how far it is. Who comes late hears first how far it was. The last one to go
     * ends the transfer, and waits until nothing is left of it.
     *
     * @param isStarter it is told why the transfer failed
     * @returns `undefined`: it has failed, and somebody else has been told why
     * @throws why it failed, or the reason of the signal
     */
    async wait(tell: Tell, signal: AbortSignal, isStarter: boolean): Promise<Taken | undefined> {
        let leave: (() => void) | undefined;
        try {
            return await new Promise<Taken | undefined>((resolve, reject) => {
                const waiter = { tell, resolve, reject };
                this.#waiters.add(waiter);
                if (isStarter) {
                    this.#starter = waiter;
                }
                leave = () => void this.#left(waiter, signal.reason);
                signal.addEventListener('abort', leave);
                if (this.#last !== undefined) {
                    tell(this.#last);
                }
                if (signal.aborted) {
                    leave();
                }
            });
        } finally {
            if (leave !== undefined) {
                signal.removeEventListener('abort', leave);
            }
        }
    }

    #tell(progress: LayerProgress): void {
        this.#last = progress;
        for (const { tell } of this.#waiters) {
            tell(progress);
        }
    }

    async #left(waiter: Waiter<Taken>, reason: unknown): Promise<void> {
        if (!this.#waiters.delete(waiter)) {
            return;
        }
        if (this.#waiters.size === 0) {
            this.#work.onEnd();
            this.#stop.abort(reason);
            await this.#settled;
        }
        waiter.reject(reason);
    }

    #succeeded(result: Result): void {
        this.#work.onEnd();
        for (const { resolve } of this.#takeWaiters()) {
            resolve(this.#work.take(result));
        }
    }

    #failed(error: unknown): void {
        this.#work.onEnd();
        for (const waiter of this.#takeWaiters()) {
            if (waiter === this.#starter) {
                waiter.reject(error);
            } else {
                waiter.resolve(undefined);
            }
        }
    }

    #takeWaiters(): readonly Waiter<Taken>[] {
        const waiters = [...this.#waiters];
        this.#waiters.clear();
        return waiters;
    }
}
