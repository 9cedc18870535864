import type { Call } from '../call.js';
import { checkDocumentConditions, documentReply, withShareInfo } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import {
    accountParameter,
    channelOrAnyParameter,
    provenanceParameter,
    shareInfoParameter,
    viaParameter,
} from '../parameters.js';
import type { Reply } from '../reply.js';

async function handle(start: Call): Promise<Reply> {
    const { raw } = start.image;
    const call = await withShareInfo(start, [raw]);
    return checkDocumentConditions(call, raw) ?? documentReply(call, raw);
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
        provenanceParameter,
        shareInfoParameter,
        viaParameter,
    ],
    chain: ['UUID', 'PAUTH', 'CHAN*', 'LOAD*', 'ADMINF', 'PROVENANCE', 'SHARE'],
    handle,
};
