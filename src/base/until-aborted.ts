/**
 * Waits for `work`, but no longer than until `signal` says to stop. The work itself goes on; what it
 * says later is dropped.
 *
 * @throws the reason of `signal`, or what `work` throws before
 */
export async function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
    let onAbort: (() => void) | undefined;
    const stopped = new Promise<never>((_resolve, reject) => {
        onAbort = () => reject(signal.reason as Error);
        signal.addEventListener('abort', onAbort);
    });
    try {
        if (signal.aborted) {
            onAbort?.();
        }
        return await Promise.race([stopped, work]);
    } finally {
        if (onAbort !== undefined) {
            signal.removeEventListener('abort', onAbort);
        }
    }
}
