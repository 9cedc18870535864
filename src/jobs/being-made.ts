import { enginesOf } from './engines.js';
import type { JobServices } from './services.js';

/**
 * Whether a job that is queued or running imports, copies or creates an image.
 *
 * @throws 503 when nobody can tell
 */
export async function isBeingMade(
    services: Pick<JobServices, 'engine' | 'local'>,
    imageUuid: string,
    signal: AbortSignal,
): Promise<boolean> {
    for (const one of enginesOf(services)) {
        if ((await one.active(imageUuid, signal)).length > 0) {
            return true;
        }
    }
    return false;
}
