import { createImage } from '../../images/create-image.js';
import { createFromVm } from '../../jobs/from-vm/create-from-vm.js';
import type { Call } from '../call.js';
import { documentReply } from '../document.js';
import type { Action, Endpoint } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';
import type { Reply } from '../reply.js';
import { jobReply } from '../workflow-api.js';
import { importDockerAction } from './import-docker-action.js';
import { importLxdAction } from './import-lxd-action.js';

async function create(call: Call): Promise<Reply> {
    const { raw } = await createImage(call.services.images, call.context, call.body);
    return documentReply(call, raw);
}

const createFromVmAction: Action = {
    action: 'create-from-vm',
    name: 'CreateImageFromVm',
    summary:
        'Has an image made of an instance: `{"image_uuid", "job_uuid"}` at once, the image when the job has ended. The body is the manifest, what it leaves out comes from the image the instance was made from.',
    parameters: [
        { name: 'vm_uuid', summary: 'The instance.', required: true },
        {
            name: 'incremental',
            summary: '`true`: the image holds only what differs from the one the instance was made from.',
        },
        {
            name: 'max_origin_depth',
            summary: 'At least 2: most images an incremental one may have below it.',
        },
    ],
    chain: [],
    handle: async (call) => {
        const { query } = call.exchange;
        const started = await createFromVm(call.services.jobs, call.context, {
            vmUuid: query.get('vm_uuid'),
            incremental: () => query.boolean('incremental') ?? false,
            maxOriginDepth: query.get('max_origin_depth'),
            body: call.body,
        });
        return jobReply(call, started);
    },
};

/** POST /images (http-api 3.3). */
export const createImageEndpoint: Endpoint = {
    name: 'CreateImage',
    method: 'POST',
    path: '/images',
    summary: 'Creates an unactivated image from the manifest in the body.',
    parameters: [accountParameter, channelParameter],
    chain: ['AUTH', 'WRITER', 'CHAN', 'BODY'],
    withoutAction: { chain: [], handle: create, emptyIsUnknown: true },
    actions: [createFromVmAction, importDockerAction, importLxdAction],
};
