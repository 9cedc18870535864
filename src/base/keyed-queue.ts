import { untilAborted } from './until-aborted.js';

/**
 * Runs tasks of the same key one after another, in the order they came, and tasks of different
 * keys at the same time (backends W3). The number of waiting tasks is bounded by the requests in
 * flight; an idle key takes no memory.
 */
export class KeyedQueue {
    readonly #tails = new Map<string, Promise<unknown>>();

    /**
     * Runs `task` when all earlier tasks of `key` have ended, whether they failed or not.
     *
     * @throws whatever `task` throws
     */
    async run<T>(key: string, task: () => Promise<T>): Promise<T> {
        const previous = this.#tails.get(key) ?? Promise.resolve();
        const turn = previous.then(task, task);
        const tail = turn.then(
            () => undefined,
            () => undefined,
        );
        this.#tails.set(key, tail);
        try {
            return await turn;
        } finally {
            if (this.#tails.get(key) === tail) {
                this.#tails.delete(key);
            }
        }
    }

    /**
     * Runs `task` as {@link run} does, unless `signal` is aborted before its turn comes: then nobody waits
     * for the turn any more. What it is told later, the task sees to itself.
     *
     * @throws the reason of `signal`, or whatever `task` throws
     */
    async runUnlessAborted<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
        signal.throwIfAborted();
        let begin: () => void = () => undefined;
        const begun = new Promise<void>((resolve) => (begin = resolve));
        const turn = this.run(key, () => {
            begin();
            signal.throwIfAborted();
            return task();
        });
        // Whoever has given up waiting does not hear how it ended.
        turn.catch(() => undefined);
        await untilAborted(signal, begun);
        return turn;
    }

    /**
     * Runs `task` when it is the turn of every one of `keys`. They are entered in one order by all,
     * so that no two tasks wait for each other; a task must not enter further keys of its own.
     *
     * @throws whatever `task` throws
     */
    async runAll<T>(keys: readonly string[], task: () => Promise<T>): Promise<T> {
        const inOrder = [...new Set(keys)].sort();
        return inOrder.reduceRight<() => Promise<T>>((inner, key) => () => this.run(key, inner), task)();
    }

    /** How many keys have a task running or waiting. */
    get size(): number {
        return this.#tails.size;
    }

    /** Resolves when every task known at this moment has ended. */
    async idle(): Promise<void> {
        await Promise.all(this.#tails.values());
    }
}
