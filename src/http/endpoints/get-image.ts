import type { Call } from '../call.js';
import { checkDocumentConditions, documentReply } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelOrAnyParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

function handle(call: Call): Reply {
    return checkDocumentConditions(call, call.image.raw) ?? documentReply(call, call.image.raw);
}

/** GET /images/:uuid (http-api 3.2). */
export const getImageEndpoint: Endpoint = {
    name: 'GetImage',
    method: 'GET',
    path: '/images/:uuid',
    summary: 'Returns the manifest of an image in any state.',
    parameters: [
        accountParameter,
        channelOrAnyParameter,
        { name: 'inclAdminFields', summary: '`true` adds `files[].stor`; needs authentication.' },
    ],
    chain: ['UUID', 'PAUTH', 'CHAN*', 'LOAD', 'ADMINF'],
    handle,
};
