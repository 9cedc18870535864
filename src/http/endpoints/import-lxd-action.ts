import { operatorOnly } from '../../base/errors.js';
import { importLxdImage } from '../../images/lxd/import-lxd-image.js';
import { lxdError } from '../../images/lxd/lxd-lines.js';
import { parseLxdAlias } from '../../manifest/lxd/alias.js';
import type { Call } from '../call.js';
import type { Action } from '../endpoint.js';
import type { Reply } from '../reply.js';
import { workReply } from '../work-reply.js';

function importLxd(call: Call): Reply {
    if (call.account !== undefined) {
        throw operatorOnly();
    }
    const alias = parseLxdAlias(call.exchange.query.get('alias'));
    const work = importLxdImage(call.services.images, call.context, alias);
    return workReply(call, work, (error) => lxdError(error, alias.text));
}

/** AdminImportLxdImage: `POST /images?action=import-lxd-image` (jobs-and-imports 6). */
export const importLxdAction: Action = {
    action: 'import-lxd-image',
    name: 'AdminImportLxdImage',
    summary:
        'Brings an image of a server of LXD images here, with its files, activates it, and tells in lines of JSON how that goes; the last one is an error if it fails. For operators.',
    parameters: [
        {
            name: 'alias',
            summary:
                'Name of the server in `lxdRegistries` and alias of the image there: `images:alpine/3.16`.',
            required: true,
        },
    ],
    chain: [],
    handle: importLxd,
};
