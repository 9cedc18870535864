import { setTimeout as delay } from 'node:timers/promises';
import { OutgoingError } from '../../base/http-errors.js';
import type { RemoteJob } from '../../remotes/imgapi/answers.js';

/** Pauses between two looks at a job, milliseconds: it may take a second or an hour. */
const FIRST_LOOK_MS = 100;
const LONGEST_PAUSE_MS = 2000;

/** How to follow a job. */
export interface JobEndOptions {
    /** Asks the server how far it is. @throws OutgoingError */
    readonly look: () => Promise<RemoteJob>;
    readonly onBytes?: (bytes: number) => void;
    /** Ends the waiting, not the job. */
    readonly signal?: AbortSignal;
}

/** Waits for a job of a server. @throws OutgoingError when it did not succeed; the reason of the signal */
export async function jobEnd(job: string, { look, onBytes, signal }: JobEndOptions): Promise<void> {
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * 2)) {
        await delay(pause, undefined, signal === undefined ? {} : { signal });
        const { execution, bytesDone, error } = await look();
        onBytes?.(bytesDone);
        if (execution === 'succeeded') {
            return;
        }
        if (execution === 'failed' || execution === 'canceled') {
            const facts = {
                body: { code: error?.code ?? 'JobFailed', message: error?.message ?? execution },
            };
            throw new OutgoingError('status', `job ${job} ${execution}`, facts);
        }
    }
}
