import { importRemote } from '../../jobs/import/import-remote.js';
import type { Action } from '../endpoint.js';
import { jobReply } from '../workflow-api.js';

/** AdminImportRemoteImage: `POST /images/:uuid?action=import-remote` (jobs-and-imports 3.4). */
export const importRemoteAction: Action = {
    action: 'import-remote',
    name: 'AdminImportRemoteImage',
    summary:
        'Starts a job that copies an image, and those of its origins that are not here, from another image server: `{"image_uuid", "job_uuid"}`.',
    parameters: [
        {
            name: 'source',
            summary: 'URL of the image server to copy from; it may carry `?channel=`.',
            required: true,
        },
        { name: 'skip_owner_check', summary: '`true`: the owner need not exist.' },
    ],
    chain: [],
    handle: async (call) => {
        const { query } = call.exchange;
        const { uuid: jobUuid } = await importRemote(call.services.jobs, call.context, call.uuid, {
            source: query.get('source'),
            skipOwnerCheck: () => query.boolean('skip_owner_check', true) ?? false,
        });
        return jobReply(call, { imageUuid: call.uuid, jobUuid });
    },
};
