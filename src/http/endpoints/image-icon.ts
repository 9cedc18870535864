import { addImageIcon } from '../../images/add-image-icon.js';
import { deleteImageIcon } from '../../images/delete-image-icon.js';
import { findImageIcon } from '../../images/open-file.js';
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
} from '../parameters.js';
import type { Reply } from '../reply.js';
import { uploadFacts } from '../upload.js';

async function add(call: Call): Promise<Reply> {
    const contentType = call.exchange.headers['content-type'];
    const { raw } = await addImageIcon(call.services.images, call.context, call.uuid, {
        ...uploadFacts(call),
        ...(contentType === undefined ? {} : { contentType }),
    });
    return documentReply(call, raw);
}

function get(call: Call): Reply {
    const icon = findImageIcon(call.image);
    return fileReply(call, 'icon', icon, icon.contentType);
}

async function remove(call: Call): Promise<Reply> {
    const { raw } = await deleteImageIcon(call.services.images, call.context, call.uuid);
    return documentReply(call, raw);
}

/** PUT, GET and DELETE /images/:uuid/icon (http-api 3.12). */
export const imageIconEndpoints: readonly Endpoint[] = [
    {
        name: 'AddImageIcon',
        method: 'PUT',
        path: '/images/:uuid/icon',
        summary: 'Stores the bytes of the body as the icon of an image: JPEG, GIF or PNG, at most 128 KiB.',
        parameters: [accountParameter, channelParameter, sha1Parameter, storageParameter],
        chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD', 'OWNER'],
        handle: add,
    },
    {
        name: 'GetImageIcon',
        method: 'GET',
        path: '/images/:uuid/icon',
        summary: 'Returns the icon of an image.',
        parameters: [accountParameter, channelOrAnyParameter],
        chain: ['UUID', 'CHAN*', 'LOAD'],
        handle: get,
    },
    {
        name: 'DeleteImageIcon',
        method: 'DELETE',
        path: '/images/:uuid/icon',
        summary: 'Removes the icon of an image.',
        parameters: [accountParameter, channelParameter],
        chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'LOAD', 'OWNER'],
        handle: remove,
    },
];
