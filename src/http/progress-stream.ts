import type { Call } from './call.js';
import { jobLines } from './progress-lines.js';
import { PROGRESS_STYLE } from './line-style.js';
import type { LinesReply, Reply } from './reply.js';
import { requireNotDraining } from './require-not-draining.js';
import { type JobFacts, jobHeaders } from './workflow-api.js';

/** What a stream tells. */
export type StreamParts = Pick<LinesReply, 'headers' | 'lines'>;

/**
 * Answers with a stream. Whether there may be one more is known before `work` begins, so that nothing is
 * started that cannot be told of (jobs-and-imports 8.3).
 *
 * @param work what is to be done before the first line; its errors are answered as usual
 * @throws 503 `too many progress streams`, `server is shutting down`; what `work` throws
 */
export async function streamReply(call: Call, work: () => Promise<StreamParts>): Promise<Reply> {
    requireNotDraining(call);
    const release = call.services.streams.take();
    try {
        return { kind: 'lines', style: PROGRESS_STYLE, ...(await work()), release };
    } catch (error) {
        release();
        throw error;
    }
}

/** The progress of a job that was started or found, with the headers of the plain answer. */
export function jobStream(call: Call, facts: JobFacts): StreamParts {
    const { engine, local } = call.services.jobs;
    const job = { ...facts, engine: facts.local === true ? local : engine };
    return { headers: jobHeaders(call, facts), lines: (signal) => jobLines(call, job, signal) };
}
