import { ApiError, imageNotFound, internalError, invalidParameter } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import type { ImageServices, RequestContext } from '../../images/context.js';
import { findImage } from '../../images/load.js';
import { isObject } from '../../manifest/coerce.js';
import type { RawImage } from '../../manifest/types.js';
import type { ComputeNode, ComputeNodeDirectory } from '../../remotes/compute-nodes.js';
import type { InstanceDirectory, InstanceFacts } from '../../remotes/instances.js';
import { isRecentEnough } from './platform.js';
import { prepareScript } from './prepare-scripts.js';

/** The services that know of instances. */
export interface InstanceServices {
    readonly instances: InstanceDirectory;
    readonly computeNodes: ComputeNodeDirectory;
}

/** What is needed to make an image of an instance. */
export interface PreparedInstance {
    readonly instance: InstanceFacts;
    /** Text of the script that prepares it. */
    readonly script: string;
}

/** Virtual machines: their images are on disks. */
const MACHINE_BRANDS: readonly (string | undefined)[] = ['bhyve', 'kvm'];
/** Windows images for KVM from before this day cannot prepare instances. */
const FIRST_SOUND_WINDOWS = '2018-10-15';

/** @throws 422 `InvalidParameter`, 503 `VMAPI is unavailable` */
async function findInstance(
    { instances }: InstanceServices,
    { account, requestId, signal }: RequestContext,
    uuid: string,
): Promise<InstanceFacts> {
    const owner = account === undefined ? {} : { owner: account };
    const instance = await instances.instance({ uuid, ...owner, requestId, signal });
    if (instance === undefined) {
        throw invalidParameter(`could not get VM "${uuid}" details`, [{ field: 'vm_uuid', code: 'Invalid' }]);
    }
    return instance;
}

/** @throws 500 `InternalError` */
async function findNode(
    { computeNodes }: InstanceServices,
    { requestId, signal }: RequestContext,
    uuid: string | undefined,
): Promise<ComputeNode> {
    const failure = (cause?: unknown): ApiError =>
        internalError(`could not get server "${String(uuid)}" details`, cause);
    if (uuid === undefined) {
        throw failure();
    }
    try {
        return await computeNodes.node(uuid, { requestId, signal });
    } catch (error) {
        signal.throwIfAborted();
        throw failure(error);
    }
}

/** The image an instance was made from. @throws 404 `ResourceNotFound`, 500, 503 */
async function findProto(services: ImageServices, instance: InstanceFacts): Promise<RawImage> {
    const ofDisk = MACHINE_BRANDS.includes(instance.brand) ? instance.diskImages[0] : undefined;
    const uuid = ofDisk ?? instance.imageUuid;
    if (uuid === undefined) {
        throw internalError(`could not determine image_uuid for VM ${instance.uuid}`);
    }
    const image = isUuid(uuid) ? await findImage(services, uuid) : undefined;
    if (image === undefined) {
        throw imageNotFound(uuid);
    }
    return image.raw;
}

/** Whether it is one of the Windows images that cannot prepare instances (jobs-and-imports 1.2 #18). */
function isOldWindows({ requirements, os, published_at: published }: RawImage): boolean {
    const brand = isObject(requirements) ? requirements['brand'] : undefined;
    return (
        os === 'windows' && brand === 'kvm' && Boolean(published) && String(published) < FIRST_SOUND_WINDOWS
    );
}

/** The script for instances of an image. @throws 500, 501 `NotAvailable` */
async function requireScript(instance: InstanceFacts, proto: RawImage): Promise<string> {
    const { uuid, os } = proto;
    const where = `(VM ${instance.uuid}, origin image ${uuid})`;
    if (isOldWindows(proto)) {
        throw new ApiError(
            'NotAvailable',
            `image creation for OS "${os}" is not supported for KVM images older than ${FIRST_SOUND_WINDOWS} ${where}`,
        );
    }
    const script = await prepareScript(os);
    if (script === undefined) {
        throw new ApiError(
            'NotAvailable',
            `image creation for OS "${os}" is not currently supported ${where}`,
        );
    }
    return script;
}

/**
 * Finds out whether an image can be made of an instance, and with what (jobs-and-imports 1.2 #11-#19).
 *
 * @throws 404, 422, 500, 501 `NotAvailable`, 503; see the table there
 */
export async function prepareInstance(
    services: ImageServices,
    directories: InstanceServices,
    context: RequestContext,
    vmUuid: string,
): Promise<PreparedInstance> {
    const instance = await findInstance(directories, context, vmUuid);
    const node = await findNode(directories, context, instance.serverUuid);
    const minimum = services.config.current.minImageCreationPlatform;
    if (!isRecentEnough(node, minimum)) {
        throw new ApiError(
            'InsufficientServerVersion',
            `cannot create an image from VM ${vmUuid} because it resides on a server of insufficient version, ` +
                `min version is ${minimum[0]}/${minimum[1]}`,
        );
    }
    if (instance.isDocker) {
        throw invalidParameter('cannot create an image from a Docker container', [
            { field: 'vm_uuid', code: 'Invalid' },
        ]);
    }
    const proto = await findProto(services, instance);
    return { instance, script: await requireScript(instance, proto) };
}
