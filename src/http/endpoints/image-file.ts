import { addFileFromSource } from '../../images/add-file-from-source.js';
import { addImageFile } from '../../images/add-image-file.js';
import { findImageFile } from '../../images/open-file.js';
import type { Call } from '../call.js';
import { documentReply } from '../document.js';
import { fileReply } from '../download.js';
import type { Endpoint } from '../endpoint.js';
import {
    accountParameter,
    channelOrAnyParameter,
    channelParameter,
    compressionParameter,
    datasetGuidParameter,
    sha1Parameter,
    storageParameter,
    viaParameter,
} from '../parameters.js';
import type { Reply } from '../reply.js';
import { uploadFacts } from '../upload.js';

/** From another image server; the body does not matter (http-api 3.9). */
async function addFromSource(call: Call, source: string): Promise<Reply> {
    const storage = call.exchange.query.get('storage');
    const { raw } = await addFileFromSource(call.services.images, call.context, call.uuid, {
        source,
        ...(storage === undefined ? {} : { storage }),
    });
    return documentReply(call, raw);
}

async function add(call: Call): Promise<Reply> {
    const { query } = call.exchange;
    const source = query.raw('source');
    if (source !== undefined) {
        return addFromSource(call, source);
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
    return fileReply(call, name, file, 'application/octet-stream');
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
            compressionParameter,
            sha1Parameter,
            datasetGuidParameter,
            storageParameter,
            {
                name: 'source',
                summary:
                    'URL of the image server to copy all files of the image from, instead of the body; it may carry `?channel=`. Then `compression`, `sha1` and `dataset_guid` are its, too.',
            },
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
