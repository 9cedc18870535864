import type { ApiError } from '../base/errors.js';
import { type TellingWork, WorkLines } from '../base/work-lines.js';
import type { Call } from './call.js';
import { messageStyle } from './line-style.js';
import type { LinesReply, StreamLine } from './reply.js';
import { requireNotDraining } from './require-not-draining.js';

/**
 * Does work and tells of it in lines (jobs-and-imports 5.4, 5.6, 6).
 *
 * @param failed the last line, should it fail
 * @throws 503 `server is shutting down`, before anything is begun
 */
export function workReply(
    call: Call,
    work: TellingWork<StreamLine>,
    failed: (error: ApiError) => StreamLine,
): LinesReply {
    requireNotDraining(call);
    return {
        kind: 'lines',
        style: messageStyle(failed),
        lines: (signal) => new WorkLines(work, signal),
        release: () => undefined,
    };
}
