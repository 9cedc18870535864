import type { Clock } from './clock.js';

/**
 * Keeps an answer that is dear to get: callers share it until it is `maxAgeMs` old, and share the
 * question while it is being asked. A failure is kept like an answer.
 */
export function recent<T>(ask: () => Promise<T>, maxAgeMs: number, clock: Clock): () => Promise<T> {
    let last: { readonly at: number; readonly answer: Promise<T> } | undefined;
    return () => {
        const now = clock.now();
        // A clock that was set back must not make an answer last.
        if (last === undefined || Math.abs(now - last.at) > maxAgeMs) {
            last = { at: now, answer: ask() };
        }
        return last.answer;
    };
}
