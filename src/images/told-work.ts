import { ApiError } from '../base/errors.js';
import type { Say, TellingWork } from '../base/work-lines.js';
import type { RequestContext } from './context.js';

/**
 * The work that a request asks for, told in lines: it ends when the request does, or when nobody reads them.
 *
 * @param failureOf what the last line says of a failure
 * @param work its context's signal stands for both ends
 */
export function toldWork<Line>(
    context: RequestContext,
    failureOf: (error: unknown) => ApiError,
    work: (say: Say<Line>, context: RequestContext) => Promise<void>,
): TellingWork<Line> {
    return async (say, stop) => {
        const signal = AbortSignal.any([context.signal, stop]);
        try {
            await work(say, { ...context, signal });
        } catch (error) {
            // Why it was told to stop is truer than what it says of that.
            const reason: unknown = signal.reason;
            throw failureOf(reason instanceof ApiError ? reason : error);
        }
    };
}
