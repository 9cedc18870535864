import { pushImage } from '../../images/docker/push-image.js';
import { pushError } from '../../images/docker/push-lines.js';
import { requirePush } from '../../images/docker/push-request.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter } from '../parameters.js';
import { registryHeaders } from '../registry-headers.js';
import { workReply } from '../work-reply.js';

/** POST /images/:uuid/push (http-api 3.7, jobs-and-imports 5.6). It changes nothing here, so that readers serve it too. */
export const pushImageEndpoint: Endpoint = {
    name: 'AdminPushDockerImage',
    method: 'POST',
    path: '/images/:uuid/push',
    summary:
        'Puts a Docker image into a repository of a registry, and tells in lines of JSON how that goes. The body is what the import told of the image: `image_uuid`, `config_digest`, `image` and `manifest_str`. The header `x-registry-auth` says who asks the registry.',
    parameters: [
        accountParameter,
        {
            name: 'repoAndTag',
            summary: 'Where to: `<repository>:<tag>` or `<repository>@<digest>`.',
            required: true,
        },
    ],
    chain: ['AUTH', 'UUID', 'BODY', 'LOAD', 'OWNER'],
    handle: (call) => {
        const { context, exchange, image } = call;
        const { images } = call.services;
        const wanted = requirePush(images, context, image.raw, {
            repoAndTag: exchange.query.get('repoAndTag'),
            body: call.body,
            headers: registryHeaders(exchange.headers),
        });
        return workReply(call, pushImage(images, context, wanted), (error) =>
            pushError(error, context.requestId),
        );
    },
};
