import type { ApiError } from '../base/errors.js';
import { type TellingWork, WorkLines } from '../base/work-lines.js';
import { messageStyle } from './line-style.js';
import type { LinesReply, StreamLine } from './reply.js';

/** Does work and tells of it in lines (jobs-and-imports 5.4, 5.6, 6). @param failed the last line, should it fail */
export function workReply(
    work: TellingWork<StreamLine>,
    failed: (error: ApiError) => StreamLine,
): LinesReply {
    return {
        kind: 'lines',
        style: messageStyle(failed),
        lines: (signal) => new WorkLines(work, signal),
        release: () => undefined,
    };
}
