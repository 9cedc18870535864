import { changeAcl } from '../../images/change-acl.js';
import { documentReply } from '../document.js';
import type { Endpoint, Handler } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';

function change(kind: 'add' | 'remove'): Handler {
    return async (call) => {
        const { raw } = await changeAcl(call.services.images, call.context, call.uuid, kind, call.body);
        return documentReply(call, raw);
    };
}

/** POST /images/:uuid/acl (http-api 3.17). */
export const changeAclEndpoint: Endpoint = {
    name: 'AddImageAcl',
    method: 'POST',
    path: '/images/:uuid/acl',
    summary: 'Adds accounts to, or removes them from, those that may use a private image.',
    parameters: [accountParameter, channelParameter],
    chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'BODY', 'LOAD', 'OWNER'],
    withoutAction: { chain: [], handle: change('add') },
    actions: [
        {
            action: 'add',
            name: 'AddImageAcl',
            summary: 'Adds the accounts in the body, an array of uuids.',
            chain: [],
            handle: change('add'),
        },
        {
            action: 'remove',
            name: 'RemoveImageAcl',
            summary: 'Removes the accounts in the body, an array of uuids.',
            chain: [],
            handle: change('remove'),
        },
    ],
};
