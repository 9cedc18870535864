/** Thrown by {@link within}: there was no result in time. */
export class TookTooLong extends Error {
    constructor(limitMs: number) {
        super(`no answer within ${Math.round(limitMs)} ms`);
        this.name = 'TookTooLong';
    }
}

/**
 * Waits for `work`, but no longer than `limitMs`. The work itself goes on; what it says later is dropped.
 *
 * @throws TookTooLong, or what `work` throws in time
 */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new TookTooLong(limitMs)), limitMs);
        timer.unref();
    });
    try {
        return await Promise.race([work, limit]);
    } finally {
        clearTimeout(timer);
    }
}
