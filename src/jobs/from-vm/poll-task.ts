import { setTimeout as delay } from 'node:timers/promises';
import {
    type ComputeNodeCall,
    type ComputeNodeDirectory,
    NodeServiceError,
    type NodeTask,
} from '../../remotes/compute-nodes.js';

/** Between two questions, milliseconds. */
const POLL_MS = 1000;
/** Errors in a row that are borne with; the next one counts. */
const MAX_ERRORS = 5;
/** So long CNAPI may not know a task it has made, milliseconds. */
const UNKNOWN_MS = 10_000;

/** How time passes. */
export interface PollTimes {
    /** Milliseconds since some moment. */
    readonly now: () => number;
    /** Between two questions, milliseconds; default: a second. */
    readonly pauseMs?: number;
}

/** Whether a task still is what it was made for. */
function isAtWork({ status }: NodeTask): boolean {
    return status !== 'complete' && status !== 'failure';
}

/**
 * Asks once a second until a task has ended (jobs-and-imports 1.7, 10).
 *
 * @throws the error CNAPI answers with too often; the signal's reason, which must come some time
 */
export async function endOfTask(
    nodes: ComputeNodeDirectory,
    id: string,
    call: ComputeNodeCall,
    { now, pauseMs = POLL_MS }: PollTimes,
): Promise<NodeTask> {
    const start = now();
    let errors = 0;
    for (;;) {
        try {
            const task = await nodes.task(id, call);
            if (!isAtWork(task)) {
                return task;
            }
            errors = 0;
        } catch (error) {
            const isUnknown = error instanceof NodeServiceError && error.status === 404;
            errors += isUnknown && now() - start < UNKNOWN_MS ? 0 : 1;
            if (call.signal.aborted || errors > MAX_ERRORS) {
                throw error;
            }
        }
        await delay(pauseMs, undefined, { signal: call.signal });
    }
}
