import { getImageSharing, putImageSharing } from '../../images/image-sharing.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter } from '../parameters.js';

const PATH = '/accounts/:uuid/image-sharing';

/** GET and PUT /accounts/:uuid/image-sharing (README table B, jobs-and-imports 8.8). */
export const imageSharingEndpoints: readonly Endpoint[] = [
    {
        name: 'GetImageSharing',
        method: 'GET',
        path: PATH,
        summary: 'Lists the accounts that an account trusts to share images with it.',
        parameters: [accountParameter],
        chain: ['AUTH', 'UUID', 'ACCOUNT'],
        handle: async (call) => ({
            kind: 'json',
            value: await getImageSharing(call.services.images, call.context, call.uuid),
        }),
    },
    {
        name: 'PutImageSharing',
        method: 'PUT',
        path: PATH,
        summary:
            'Replaces the accounts that an account trusts, at most 1000: `{"trusted_accounts": ["<uuid>"]}`.',
        parameters: [accountParameter],
        chain: ['AUTH', 'WRITER', 'UUID', 'BODY', 'ACCOUNT'],
        handle: async (call) => ({
            kind: 'json',
            value: await putImageSharing(call.services.images, call.context, call.uuid, call.body),
        }),
    },
];
