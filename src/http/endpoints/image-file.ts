import { addImageFile } from '../../images/add-image-file.js';
import { findImageFile, openImageFile } from '../../images/open-file.js';
import type { Call } from '../call.js';
import { documentReply } from '../document.js';
import { fileReply } from '../download.js';
import type { Endpoint } from '../endpoint.js';
import {
    accountParameter,
    channelOrAnyParameter,
    channelParameter,
    sha1Parameter,
    storageParameter,
    viaParameter,
} from '../parameters.js';
import type { Reply } from '../reply.js';
import { notAvailable } from '../unavailable.js';
import { uploadFacts } from '../upload.js';

async function add(call: Call): Promise<Reply> {
    const { query } = call.exchange;
    if (query.has('source')) {
        throw notAvailable('adding a file from a source');
    }
    const compression = query.get('compression');
    const datasetGuid = query.get('dataset_guid');
    const { raw } = await addImageFile(call.services.images, call.context, call.uuid, {
        ...uploadFacts(call),
        ...(compression === undefined ? {} : { compression }),
        ...(datasetGuid === undefined ? {} : { datasetGuid }),
    });
    return documentReply(call, raw);
}

function get(call: Call): Reply {
    const given = Number.parseInt(call.exchange.query.get('index') ?? '0', 10);
    const { file, name } = findImageFile(call.image, Number.isNaN(given) ? 0 : given);
    return fileReply(file, 'application/octet-stream', (range) =>
        openImageFile(call.services.images, call.context, call.image, name, file, range),
    );
}

/** PUT and GET /images/:uuid/file (http-api 3.8, 3.11). */
export const imageFileEndpoints: readonly Endpoint[] = [
    {
        name: 'AddImageFile',
        method: 'PUT',
        path: '/images/:uuid/file',
        summary: 'Stores the bytes of the body as the file of an image that is not activated yet.',
        parameters: [
            accountParameter,
            channelParameter,
            { name: 'compression', summary: '`gzip`, `bzip2`, `xz` or `none`.', required: true },
            sha1Parameter,
            { name: 'dataset_guid', summary: 'GUID of the ZFS dataset in the file.' },
            storageParameter,
        ],
        chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD', 'OWNER'],
        handle: add,
    },
    {
        name: 'GetImageFile',
        method: 'GET',
        path: '/images/:uuid/file',
        summary: 'Returns the file of an image, whole or a range of it.',
        parameters: [
            accountParameter,
            channelOrAnyParameter,
            { name: 'index', summary: 'Which file, from 0 (default).' },
            viaParameter,
        ],
        chain: ['UUID', 'CHAN*', 'LOAD*'],
        handle: get,
    },
];
