import type Logger from 'bunyan';
import type { StoredFileName } from '../storage/storage.js';
import type { UploadClaim } from '../storage/upload-journal.js';
import type { ImageServices } from './context.js';
import { savesAs } from './failures.js';
import { type Cleanup, settlingDeletes } from './image-task.js';
import { claimUpload, endClaim } from './recover-uploads.js';

/** The files that uploads fill. */
const PLACES = ['file0', 'icon'] as const;

/**
 * Runs a task as {@link settlingDeletes} does, while no other process puts bytes under the uuids of
 * these images. Nobody else would know whose bytes lie there: they would be deleted, or replaced, in
 * the moment before a record names them. Runs in the queues of the images.
 *
 * @param options.failure what is answered when the claims cannot be noted
 * @param options.names further files that the task puts in place
 * @throws what `task` throws; 503 when another process does not get ready in time; 500
 */
export async function inClaimedPlaces<T>(
    services: ImageServices,
    uuids: readonly string[],
    options: {
        readonly log: Logger;
        readonly failure: string;
        readonly names?: readonly StoredFileName[];
    },
    task: (cleanup: Cleanup) => Promise<T>,
): Promise<T> {
    const { log, failure, names = [] } = options;
    const claims: UploadClaim[] = [];
    try {
        // In one order by all, so that no two processes wait for each other.
        for (const uuid of [...uuids].sort()) {
            for (const name of [...new Set([...PLACES, ...names])].sort()) {
                claims.push(await claimUpload(services, uuid, name, log).catch(savesAs(failure)));
            }
        }
        return await settlingDeletes(task);
    } finally {
        for (const claim of claims) {
            await endClaim(claim, true, log);
        }
    }
}
