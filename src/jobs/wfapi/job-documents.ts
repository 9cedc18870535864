import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import { withoutUserInfo } from '../../remotes/source-address.js';
import type { ServiceJob } from '../../remotes/workflow-service.js';
import { type JobDocument, TASKS } from '../job.js';

/** Parameters that are shown beside the job's own members, too; Triton's service does so itself. */
const LIFTED = ['vm_uuid', 'image_uuid', 'server_uuid', 'task'] as const;

/** What a job was asked to do. */
export function paramsOf({ params }: ServiceJob): JsonObject {
    return isObject(params) ? params : {};
}

/** Whether a job is one of ours: a service runs jobs of others as well, which are nobody's business here. */
export function isOurs(job: ServiceJob): boolean {
    const { task } = paramsOf(job);
    return TASKS.some((one) => one === task);
}

/** The images a job makes, base first: what it calls origins, and the image itself. */
export function imagesOf(job: ServiceJob): readonly string[] {
    const { origins, image_uuid: image } = paramsOf(job);
    const list: readonly unknown[] = Array.isArray(origins) ? origins : [];
    return [...list, image].filter((one) => typeof one === 'string');
}

/** A job as it is answered: as the service has it, but without the password of a source. */
export function shownDocument(job: ServiceJob): JobDocument {
    const params = paramsOf(job);
    const { source } = params;
    const lifted = LIFTED.filter((key) => params[key] !== undefined).map((key) => [key, params[key]]);
    return {
        ...(Object.fromEntries(lifted) as JsonObject),
        ...job,
        params: {
            ...params,
            ...(typeof source === 'string' ? { source: withoutUserInfo(source) } : {}),
        },
    };
}
