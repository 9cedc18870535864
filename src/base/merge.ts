/** What one of several sources said, and which. */
interface Heard<T> {
    readonly iterator: AsyncIterator<T>;
    readonly result: IteratorResult<T>;
}

async function next<T>(iterator: AsyncIterator<T>): Promise<Heard<T>> {
    return { iterator, result: await iterator.next() };
}

/**
 * All items of several sources in the order they come; of each source no more than one is asked for ahead.
 *
 * @throws what a source throws; the others are told to stop then, as they are when nobody wants more
 */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
    const asked = new Map(
        sources.map((source) => {
            const iterator = source[Symbol.asyncIterator]();
            return [iterator, next(iterator)] as const;
        }),
    );
    try {
        while (asked.size > 0) {
            const { iterator, result } = await Promise.race(asked.values());
            if (result.done === true) {
                asked.delete(iterator);
            } else {
                asked.set(iterator, next(iterator));
                yield result.value;
            }
        }
    } finally {
        for (const [iterator, heard] of asked) {
            // What they still say, or fail with, interests nobody; one that waits ends when it can.
            heard.catch(() => undefined);
            void iterator.return?.().then(undefined, () => undefined);
        }
    }
}
