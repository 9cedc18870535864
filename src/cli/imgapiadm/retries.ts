import { setTimeout as delay } from 'node:timers/promises';
import { OutgoingError } from '../../base/http-errors.js';
import { failureText } from './failure-text.js';
import { durationText } from '../../base/quantities.js';
import type { Terminal } from './terminal.js';

/** Pauses before further tries, milliseconds: together longer than a server takes to restart. */
const PAUSES_MS = [1000, 2000, 4000, 8000, 16_000];
/** Answers of a server, or of a proxy before it, that is not there at the moment. */
const PASSING_STATUSES: ReadonlySet<number | undefined> = new Set([429, 502, 503, 504]);

/** How to try again. */
export interface RetryOptions {
    /** Ends the pauses: the last failure is then the result. */
    readonly signal: AbortSignal;
    readonly onRetry: (error: OutgoingError, pauseMs: number) => void;
    /** Default: 1, 2, 4, 8 and 16 s. */
    readonly pausesMs?: readonly number[];
}

/** Tries again, and tells those who want to know everything. */
export function tracedRetries(terminal: Pick<Terminal, 'trace'>, signal: AbortSignal): RetryOptions {
    return {
        signal,
        onRetry: (error, pauseMs) =>
            terminal.trace(`${failureText(error)}; again in ${durationText(pauseMs)}`),
    };
}

function isPassing(error: unknown): error is OutgoingError {
    return (
        error instanceof OutgoingError &&
        (error.kind === 'connect' || error.kind === 'timeout' || PASSING_STATUSES.has(error.status))
    );
}

/**
 * Does something with a server that may be done twice, again while the server is away or busy.
 *
 * @throws what the last try throws
 */
export async function withRetries<T>(task: () => Promise<T>, options: RetryOptions): Promise<T> {
    const { signal, onRetry, pausesMs = PAUSES_MS } = options;
    for (let tries = 0; ; tries += 1) {
        try {
            return await task();
        } catch (error) {
            const pause = pausesMs[tries];
            if (pause === undefined || signal.aborted || !isPassing(error)) {
                throw error;
            }
            onRetry(error, pause);
            await delay(pause, undefined, { signal }).catch(() => undefined);
            if (signal.aborted) {
                throw error;
            }
        }
    }
}
