import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '../base/errors.js';

/** Between two tries, milliseconds. */
const PAUSE_MS = 1000;

/**
 * Calls `work` again while the server cannot do it, e.g. because its database is away for a moment, until
 * the signal ends it: for the clean-up of jobs, which nobody asks for again.
 *
 * @throws what `work` throws otherwise; the reason of the signal
 */
export async function whileUnavailable(signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
    for (;;) {
        try {
            await work();
            return;
        } catch (error) {
            if (!(error instanceof ApiError && error.status === 503)) {
                throw error;
            }
        }
        await delay(PAUSE_MS, undefined, { signal });
    }
}
