import type { ImageServices, RequestContext } from '../../images/context.js';
import { deleteImage } from '../../images/delete-image.js';
import { restorePlaceholder } from '../../images/restore-placeholder.js';
import { isObject } from '../../manifest/coerce.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import { enginesOf } from '../engines.js';
import type { JobDocument } from '../job.js';
import type { JobServices } from '../services.js';
import { placeholderOf } from './placeholder.js';

/** How the tool of compute nodes names itself. */
const NODE_TOOL = 'imgadm/';

function isCreation({ task, params }: JobDocument): boolean {
    return (task ?? params?.['task']) === 'create-from-vm';
}

/** The job that is making an image of an instance; `undefined`: there is none, or nobody can tell. */
async function creatingJob(
    services: JobServices,
    { log, signal }: RequestContext,
    uuid: string,
): Promise<JobDocument | undefined> {
    try {
        // Those that were accepted before a workflow service was configured are done here.
        for (const engine of enginesOf(services)) {
            const job = (await engine.active(uuid, signal)).find(isCreation);
            if (job !== undefined) {
                return job;
            }
        }
        return undefined;
    } catch (err) {
        signal.throwIfAborted();
        log.warn({ err, uuid }, 'whether a job makes this image could not be found out: it is deleted');
        return undefined;
    }
}

/** The placeholder a job began with; `undefined`: it does not say enough. */
function placeholderOfJob(
    services: ImageServices,
    { params }: JobDocument,
    uuid: string,
): RawImage | undefined {
    const manifest = params?.['manifest'];
    return isObject(manifest) ? placeholderOf(services, { ...(manifest as JsonObject), uuid }) : undefined;
}

/**
 * DeleteImage as every endpoint has it, but for compute nodes that clean up after a failure: while the
 * job that has the image made still runs, its placeholder comes back, so that the failure can be
 * recorded in it (jobs-and-imports 1.8).
 *
 * @throws as {@link deleteImage}
 */
export async function deleteImageUnlessMade(
    services: JobServices,
    context: RequestContext,
    uuid: string,
    forceAllChannels: boolean,
): Promise<void> {
    const isNode = context.account === undefined && context.userAgent.startsWith(NODE_TOOL);
    const job = isNode ? await creatingJob(services, context, uuid) : undefined;
    const placeholder = job && placeholderOfJob(services.images, job, uuid);
    if (placeholder === undefined) {
        await deleteImage(services.images, context, uuid, forceAllChannels);
    } else {
        await restorePlaceholder(services.images, context, placeholder);
    }
}
