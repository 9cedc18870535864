import type { ApiError } from '../base/errors.js';
import type { StreamLine } from './reply.js';

/** How the lines of a stream are written, and what else it says than its source does. */
export interface LineStyle {
    readonly contentType: string;
    /** A line as it is sent, its end included. */
    readonly text: (line: StreamLine) => string;
    /** The last line of a stream whose source failed. */
    readonly failed: (error: ApiError) => StreamLine;
    /** Sent when there was no line for long; absent: nothing is. */
    readonly alive?: StreamLine;
    /**
     * The last line of a stream that is ended because the server stops. Absent: the stream is the work
     * itself, which is let finish like any other request, and waited for when its reader has gone.
     */
    readonly closing?: StreamLine;
}

/** Whether a stream is the work itself, not only told of. */
export function isWork({ closing }: LineStyle): boolean {
    return closing === undefined;
}

/** Lines that tell of a job, which goes on without them (jobs-and-imports 8.3). */
export const PROGRESS_STYLE: LineStyle = {
    contentType: 'application/x-json-stream',
    text: ({ type, ...fields }) => `${JSON.stringify({ type, time: new Date().toISOString(), ...fields })}\n`,
    failed: ({ code, message }) => ({ type: 'error', error: { code, message } }),
    alive: { type: 'keepalive' },
    closing: { type: 'closing' },
};

/** Messages of the work a request asked for: Docker and LXD (jobs-and-imports 5.4, 5.6, 6). */
export function messageStyle(failed: LineStyle['failed']): LineStyle {
    return { contentType: 'application/json', text: (line) => `${JSON.stringify(line)}\r\n`, failed };
}
