import { eventually } from '../helpers/server-process.js';

/** How long clients may take for what is waited for, milliseconds. */
export const ANSWER_LIMIT_MS = 60_000;

/** Somebody who does one thing after another. */
export interface Worker {
    step(): Promise<void>;
}

/**
 * Lets workers work until `disturb` is over, or something happened that must not. `more` waits until they
 * have counted this much more.
 */
export async function underLoad<Counter extends string>(
    workers: readonly Worker[],
    seen: Readonly<Record<Counter, number>> & { readonly problems: readonly string[] },
    disturb: (more: (what: Counter, count: number) => Promise<void>) => Promise<void>,
): Promise<void> {
    let isOver = false;
    const running = Promise.all(
        workers.map(async (worker) => {
            while (!isOver && seen.problems.length === 0) await worker.step();
        }),
    );
    // Whoever waits for more would wait in vain.
    const failed = running.then(
        () => new Promise<never>(() => undefined),
        (error: unknown) => Promise.reject(error as Error),
    );
    const more = async (what: Counter, count: number): Promise<void> => {
        const goal = seen[what] + count;
        await eventually(`${count} ${what}`, ANSWER_LIMIT_MS, () => {
            if (seen.problems.length > 0) throw new Error(seen.problems.join('\n'));
            return seen[what] >= goal;
        });
    };
    try {
        await Promise.race([disturb(more), failed]);
    } finally {
        isOver = true;
        await running;
    }
}
