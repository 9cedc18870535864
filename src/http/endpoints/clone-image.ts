import { cloneImage } from '../../images/clone-image.js';
import { documentReply } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';

/** POST /images/:uuid/clone (http-api 3.21). A body is not looked at. */
export const cloneImageEndpoint: Endpoint = {
    name: 'CloneImage',
    method: 'POST',
    path: '/images/:uuid/clone',
    summary:
        'Copies an image that is shared with the account, and its origins, for the account; the path exists only in mode `dc`.',
    parameters: [
        { ...accountParameter, required: true },
        channelParameter,
        {
            name: 'unshare',
            summary: '`true`: the image is no longer shared with the account once it has its clone.',
        },
    ],
    chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD'],
    mounted: (services) => services.config.current.mode === 'dc',
    handle: async (call) => {
        const unshare = call.exchange.query.boolean('unshare') ?? false;
        const { raw } = await cloneImage(call.services.images, call.context, call.uuid, { unshare });
        const reply = documentReply(call, raw);
        // The only document without an entity tag that is in the caller's version (http-api 1.6).
        return reply.kind === 'text' ? { kind: 'text', parts: reply.parts } : reply;
    },
};
