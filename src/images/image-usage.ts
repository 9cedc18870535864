import { ApiError } from '../base/errors.js';
import { forEachParallel } from '../base/parallel.js';
import type { RawImage } from '../manifest/types.js';
import type { Instance, InstanceDirectory } from '../remotes/instances.js';
import type { ImageServices, RequestContext } from './context.js';
import { MAX_LINEAGE_ENTRIES } from './lineage.js';
import { listDependents } from './list-dependents.js';

/** Who uses an image, as it is sent (jobs-and-imports 8.7). */
export interface ImageUsage {
    readonly image_uuid: string;
    /** Active instances in all. */
    readonly vm_count: number;
    readonly vms: readonly Instance[];
    /** Present when there are more instances than listed. */
    readonly truncated?: true;
    /** Images made on this one directly, up to the longest list. */
    readonly dependent_count: number;
    readonly dependents?: readonly InstanceCount[];
}

/** How many active instances an image has. */
export interface InstanceCount {
    readonly image_uuid: string;
    readonly vm_count: number;
}

/** An {@link ImageUsage}, and whether any of its lists was cut. */
export interface UsageAnswer {
    readonly usage: ImageUsage;
    readonly isCut: boolean;
}

const PARALLEL_COUNTS = 4;

/** The fields an instance is sent with; where it runs is for operators. */
function describe(instance: Instance, context: RequestContext): Instance {
    const { server_uuid: server, ...facts } = instance;
    return context.account === undefined && server !== undefined ? { ...facts, server_uuid: server } : facts;
}

async function countEach(
    instances: InstanceDirectory,
    context: RequestContext,
    uuids: readonly string[],
): Promise<readonly InstanceCount[]> {
    const counts = new Map<string, number>();
    await forEachParallel(uuids, PARALLEL_COUNTS, async (uuid) => {
        const { count } = await instances.activeInstancesOf({ ...query(context, uuid), limit: 0 });
        counts.set(uuid, count);
    });
    return uuids.map((uuid) => ({ image_uuid: uuid, vm_count: counts.get(uuid) ?? 0 }));
}

function query(context: RequestContext, imageUuid: string) {
    const { account, requestId, signal } = context;
    return { imageUuid, requestId, signal, ...(account === undefined ? {} : { owner: account }) };
}

/**
 * The active instances of an image and the number of images made on it, for an account only its own
 * instances and the images it may see.
 *
 * @param input.dependents whether to count the instances of each dependent, too
 * @throws 501 `NotAvailable` without a VMAPI; 503 when VMAPI or the database cannot be reached
 */
export async function imageUsage(
    services: ImageServices,
    context: RequestContext,
    image: RawImage,
    input: { readonly dependents: boolean },
): Promise<UsageAnswer> {
    const { instances } = services;
    if (instances === undefined) {
        throw new ApiError('NotAvailable', 'image usage is not available');
    }
    const { count, instances: found } = await instances.activeInstancesOf({
        ...query(context, image.uuid),
        limit: MAX_LINEAGE_ENTRIES,
    });
    const dependents = await listDependents(services, context, image, { depth: 1, onlyActive: false });
    const uuids = dependents.entries.map(({ uuid }) => uuid);
    const isTruncated = count > found.length;
    return {
        usage: {
            image_uuid: image.uuid,
            vm_count: count,
            vms: found.map((instance) => describe(instance, context)),
            ...(isTruncated ? { truncated: true } : {}),
            dependent_count: uuids.length,
            ...(input.dependents ? { dependents: await countEach(instances, context, uuids) } : {}),
        },
        isCut: isTruncated || dependents.isCut,
    };
}
