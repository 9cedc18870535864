import { setTimeout as delay } from 'node:timers/promises';
import { Retries, type RetryPolicy } from './retries.js';

/**
 * Does a small request to another server again while it fails for reasons of the moment
 * (jobs-and-imports 9.7).
 *
 * @throws why it failed last, or the reason of the signal
 */
export async function retrying<T>(
    policy: RetryPolicy,
    signal: AbortSignal,
    request: () => Promise<T>,
): Promise<T> {
    const retries = new Retries(policy);
    for (;;) {
        try {
            return await request();
        } catch (error) {
            signal.throwIfAborted();
            const pauseMs = retries.pauseAfter(error);
            if (pauseMs === undefined) {
                throw error;
            }
            await delay(pauseMs, undefined, { signal });
        }
    }
}
