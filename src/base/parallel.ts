/**
 * Runs `task` for every item, at most `limit` at the same time. When one fails, or there is no saying
 * what the next item is, no further one is started, and the promise rejects once those under way have
 * ended.
 *
 * @throws what the first failing task throws
 */
export async function forEachParallel<T>(
    items: Iterable<T> | AsyncIterable<T>,
    limit: number,
    task: (item: T) => Promise<void>,
): Promise<void> {
    const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    const failures: unknown[] = [];
    const runner = async (): Promise<void> => {
        try {
            for (;;) {
                const next = await iterator.next();
                if (next.done === true || failures.length > 0) {
                    return;
                }
                await task(next.value);
            }
        } catch (error) {
            failures.push(error);
        }
    };
    await Promise.all(Array.from({ length: limit }, runner));
    if (failures.length > 0) {
        throw failures[0];
    }
}

/**
 * Runs `task` for every item, at most `limit` at the same time, also when some of them fail.
 *
 * @throws what the first failing task throws, when all have ended
 */
export async function forEachParallelToEnd<T>(
    items: Iterable<T> | AsyncIterable<T>,
    limit: number,
    task: (item: T) => Promise<void>,
): Promise<void> {
    const failures: unknown[] = [];
    await forEachParallel(items, limit, async (item) => {
        try {
            await task(item);
        } catch (error) {
            failures.push(error);
        }
    });
    if (failures.length > 0) {
        throw failures[0];
    }
}
