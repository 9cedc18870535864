import { deleteImageUnlessMade } from '../../jobs/from-vm/delete-from-node.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';

/** DELETE /images/:uuid (http-api 3.20). */
export const deleteImageEndpoint: Endpoint = {
    name: 'DeleteImage',
    method: 'DELETE',
    path: '/images/:uuid',
    summary: 'Deletes an image, or takes it out of the selected channel while it is in others too.',
    parameters: [
        accountParameter,
        channelParameter,
        { name: 'force_all_channels', summary: '`true`: delete it whatever channels it is in.' },
    ],
    chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD', 'OWNER'],
    handle: async (call) => {
        const forceAllChannels = call.exchange.query.boolean('force_all_channels') ?? false;
        await deleteImageUnlessMade(call.services.jobs, call.context, call.uuid, forceAllChannels);
        return { kind: 'empty', status: 204 };
    },
};
