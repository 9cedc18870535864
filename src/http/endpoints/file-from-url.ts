import { addFileFromUrl } from '../../images/add-file-from-url.js';
import { documentReply } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import {
    accountParameter,
    channelParameter,
    compressionParameter,
    datasetGuidParameter,
    sha1Parameter,
    storageParameter,
} from '../parameters.js';

/** POST /images/:uuid/file/from-url (http-api 3.10, jobs-and-imports 7.3). */
export const fileFromUrlEndpoint: Endpoint = {
    name: 'AddImageFileFromUrl',
    method: 'POST',
    path: '/images/:uuid/file/from-url',
    summary:
        'Fetches the file of an image that is not activated yet from `file_url`, an https address in the JSON body.',
    parameters: [
        accountParameter,
        channelParameter,
        compressionParameter,
        sha1Parameter,
        datasetGuidParameter,
        storageParameter,
    ],
    chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD', 'OWNER', 'BODY'],
    handle: async (call) => {
        const { query } = call.exchange;
        const [compression, sha1, storage, datasetGuid] = [
            query.get('compression'),
            query.get('sha1'),
            query.get('storage'),
            query.get('dataset_guid'),
        ];
        const { raw } = await addFileFromUrl(call.services.images, call.context, call.uuid, {
            body: call.body,
            ...(compression === undefined ? {} : { compression }),
            ...(sha1 === undefined ? {} : { sha1 }),
            ...(storage === undefined ? {} : { storage }),
            ...(datasetGuid === undefined ? {} : { datasetGuid }),
        });
        return documentReply(call, raw);
    },
};
