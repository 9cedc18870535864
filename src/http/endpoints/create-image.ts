import { createImage } from '../../images/create-image.js';
import { unavailableAction } from '../unavailable.js';
import type { Call } from '../call.js';
import { documentReply } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

async function create(call: Call): Promise<Reply> {
    const { raw } = await createImage(call.services.images, call.context, call.body);
    return documentReply(call, raw);
}

/** POST /images (http-api 3.3). */
export const createImageEndpoint: Endpoint = {
    name: 'CreateImage',
    method: 'POST',
    path: '/images',
    summary: 'Creates an unactivated image from the manifest in the body.',
    parameters: [accountParameter, channelParameter],
    chain: ['AUTH', 'WRITER', 'CHAN', 'BODY'],
    withoutAction: { chain: [], handle: create, emptyIsUnknown: true },
    actions: [
        unavailableAction('create-from-vm', 'CreateImageFromVm'),
        unavailableAction('import-docker-image', 'AdminImportDockerImage'),
        unavailableAction('import-lxd-image', 'AdminImportLxdImage'),
    ],
};
