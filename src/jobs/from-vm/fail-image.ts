import { imageAlreadyActivated, internalError } from '../../base/errors.js';
import { changeImage } from '../../images/change-image.js';
import type { ImageServices } from '../../images/context.js';
import { ownContext } from '../../images/own-context.js';
import { isActivated } from '../../manifest/state.js';
import type { RawImage } from '../../manifest/types.js';
import type { JobEndStep, JobRun } from '../job-kind.js';
import { whileUnavailable } from '../../images/while-unavailable.js';
import { type ImageError, imageErrorOf, savedImageError } from './image-error.js';

/** When nobody says more. */
const CODE = 'InternalError';

/** Seconds; a database that is away for a moment must not leave an image that never gets ready. */
const TIMEOUT = 60;

const CANCELED: ImageError = { message: 'image creation was canceled', code: 'Canceled' };

/** An image that is there stays there. @throws 422 `ImageAlreadyActivated` */
function requireUnfinished(raw: RawImage): void {
    if (isActivated(raw)) {
        throw imageAlreadyActivated(raw.uuid);
    }
}

/** Records in the image why it was not made (jobs-and-imports 1.7). @throws 404, 422, 500, the signal's reason */
async function failImage(services: ImageServices, run: JobRun, reason: ImageError): Promise<void> {
    const { image_uuid: uuid, req_id: requestId } = run.params;
    if (typeof uuid !== 'string' || typeof requestId !== 'string') {
        throw internalError('the job names no image');
    }
    const context = ownContext({ requestId, log: run.log, signal: run.signal });
    const { message = '', code = CODE, ...rest } = reason;
    const change = (raw: RawImage) => ({ ...raw, state: 'failed', error: { message, code, ...rest } });
    await whileUnavailable(run.signal, () => changeImage(services, context, uuid, change, requireUnfinished));
}

/** What follows a failed step. @param memoryKey where the step has left what its failure means */
export function failOnError(services: ImageServices, memoryKey: string): readonly JobEndStep[] {
    return [
        {
            name: 'update_with_error',
            timeout: TIMEOUT,
            run: async (run, end) => {
                const saved = savedImageError(run.memory[memoryKey]);
                await failImage(services, run, saved ?? imageErrorOf(end.error));
                return 'Image updated with publishing error';
            },
        },
        {
            name: 'On error',
            timeout: 10,
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
            run: async (run) => {
                await failImage(services, run, CANCELED);
                return 'Image updated with cancellation';
            },
        },
    ];
}
