import { importDockerImage } from '../../images/docker/import-image.js';
import { pullError } from '../../images/docker/import-lines.js';
import { requirePull } from '../../images/docker/import-request.js';
import type { Action } from '../endpoint.js';
import { registryHeaders } from '../registry-headers.js';
import { workReply } from '../work-reply.js';

/** AdminImportDockerImage: `POST /images?action=import-docker-image` (jobs-and-imports 5). */
export const importDockerAction: Action = {
    action: 'import-docker-image',
    name: 'AdminImportDockerImage',
    summary:
        'Brings an image of a Docker registry here, each layer as an image of its own, and tells in lines of JSON how that goes. The headers `x-registry-auth` and `x-registry-config` say who asks the registry.',
    parameters: [
        { name: 'repo', summary: 'Name of the repository, e.g. `busybox` or `quay.io/a/b`.', required: true },
        { name: 'tag', summary: 'Tag of the image; this or `digest` is required.' },
        { name: 'digest', summary: 'Digest of its manifest.' },
        {
            name: 'public',
            summary: '`false`: the images are not public; default: `true`, in mode `private` always `false`.',
        },
    ],
    chain: [],
    handle: (call) => {
        const { context, exchange } = call;
        const { images } = call.services;
        const { query } = exchange;
        const wanted = requirePull(images, context, {
            repo: query.get('repo'),
            tag: query.get('tag'),
            digest: query.get('digest'),
            headers: registryHeaders(exchange.headers),
            isPublic: () => query.boolean('public'),
        });
        const { canonicalName } = wanted.repository;
        return workReply(call, importDockerImage(images, context, wanted), (error) =>
            pullError(error, canonicalName),
        );
    },
};
