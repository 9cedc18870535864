import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, imageAlreadyActivated, internalError } from '../../base/errors.js';
import { changeImage } from '../../images/change-image.js';
import type { ImageServices } from '../../images/context.js';
import { ownContext } from '../../images/undo-clones.js';
import { isActivated } from '../../manifest/state.js';
import type { RawImage } from '../../manifest/types.js';
import type { JobEndStep, JobRun } from '../job-kind.js';
import { type ImageError, imageErrorOf, savedImageError } from './image-error.js';

/** Seconds; a database that is away for a moment must not leave an image that never gets ready. */
const TIMEOUT = 60;
/** Between two tries, milliseconds. */
const PAUSE_MS = 1000;

const CANCELED: ImageError = { message: 'job was canceled', code: 'Canceled' };

/** An image that is there stays there. @throws 422 `ImageAlreadyActivated` */
function requireUnfinished(raw: RawImage): void {
    if (isActivated(raw)) {
        throw imageAlreadyActivated(raw.uuid);
    }
}

/** Calls `work` again while the server cannot do it, until the signal ends it. */
async function whileUnavailable(signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
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

/** Records in the image why it was not made (jobs-and-imports 1.7). @throws 404, 422, 500, the signal's reason */
async function failImage(services: ImageServices, run: JobRun, error: ImageError): Promise<string> {
    const { image_uuid: uuid, req_id: requestId } = run.params;
    if (typeof uuid !== 'string' || typeof requestId !== 'string') {
        throw internalError('the job names no image');
    }
    const context = ownContext({ requestId, log: run.log, signal: run.signal });
    const change = (raw: RawImage) => ({ ...raw, state: 'failed', error });
    await whileUnavailable(run.signal, () => changeImage(services, context, uuid, change, requireUnfinished));
    return 'Image updated with publishing error';
}

/** What follows a failed step. @param memoryKey where the step has left what its failure means */
export function failOnError(services: ImageServices, memoryKey: string): readonly JobEndStep[] {
    return [
        {
            name: 'update_with_error',
            timeout: TIMEOUT,
            run: (run, end) =>
                failImage(services, run, savedImageError(run.memory[memoryKey]) ?? imageErrorOf(end.error)),
        },
        {
            name: 'On error',
            timeout: TIMEOUT,
            run: () => Promise.reject(new Error('Error executing job')),
        },
    ];
}

/** What follows when somebody has canceled the job. */
export function failOnCancel(services: ImageServices): readonly JobEndStep[] {
    return [
        {
            name: 'update_with_cancel',
            timeout: TIMEOUT,
            run: (run) => failImage(services, run, CANCELED),
        },
    ];
}
