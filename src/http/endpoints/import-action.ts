import { operatorOnly } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import { importFromSource } from '../../images/import-from-source.js';
import { importImage } from '../../images/import-image.js';
import { requireSource } from '../../images/source-parameter.js';
import type { Call } from '../call.js';
import { documentReply, version2DocumentReply } from '../document.js';
import type { Action } from '../endpoint.js';
import type { Reply } from '../reply.js';

function skipOwnerCheck(call: Call): boolean {
    return call.exchange.query.boolean('skip_owner_check', true) ?? false;
}

/** What jobs tell of themselves; what is no such thing is ignored (jobs-and-imports 3.2). */
function jobFacts(call: Call): { readonly importId?: string; readonly datacenter?: string } {
    const { query } = call.exchange;
    const importId = query.get('import_id');
    const datacenter = query.get('datacenter');
    const known = call.config.imgapiUrlFromDatacenter ?? {};
    return {
        ...(isUuid(importId) ? { importId } : {}),
        ...(datacenter !== undefined && Object.hasOwn(known, datacenter) ? { datacenter } : {}),
    };
}

/** With a source; the body does not matter (http-api 3.5). */
async function fromSource(call: Call, source: string): Promise<Reply> {
    const { images } = call.services;
    if (call.account !== undefined) {
        throw operatorOnly();
    }
    const { raw } = await importFromSource(images, call.context, call.uuid, {
        address: requireSource(images, call.context, source),
        skipOwnerCheck: skipOwnerCheck(call),
        ...jobFacts(call),
    });
    return version2DocumentReply(call, raw);
}

async function fromBody(call: Call): Promise<Reply> {
    const { raw } = await importImage(call.services.images, call.context, call.uuid, call.body, {
        skipOwnerCheck: () => skipOwnerCheck(call),
    });
    return documentReply(call, raw);
}

/** AdminImportImage: `POST /images/:uuid?action=import` (http-api 3.4, 3.5). */
export const importAction: Action = {
    action: 'import',
    name: 'AdminImportImage',
    summary:
        'Creates an image with the uuid, and keeps the publication date, of the manifest in the body, or of the one that another image server has.',
    parameters: [
        { name: 'skip_owner_check', summary: '`true`: the owner need not exist.' },
        {
            name: 'source',
            summary:
                'URL of the image server to take the manifest from; it may carry `?channel=`. Without it the body has the manifest.',
        },
        {
            name: 'import_id',
            summary:
                'With `source`: a UUID that is kept with the image until its activation; a placeholder that has the same one is replaced.',
        },
        {
            name: 'datacenter',
            summary:
                'With `source`: its name in `imgapiUrlFromDatacenter`, kept as where the image came from.',
        },
    ],
    chain: [],
    handle: (call) => {
        const source = call.exchange.query.raw('source');
        return source === undefined ? fromBody(call) : fromSource(call, source);
    },
};
