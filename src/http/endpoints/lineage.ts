import { MAX_ORIGIN_DEPTH } from '../../base/constants.js';
import { invalidParameter } from '../../base/errors.js';
import { imageUsage } from '../../images/image-usage.js';
import type { CutList } from '../../images/lineage.js';
import { listAncestors } from '../../images/list-ancestors.js';
import { listClones } from '../../images/list-clones.js';
import { listDependents } from '../../images/list-dependents.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelOrAnyParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

/** A JSON answer; a header tells when a list in it was cut (jobs-and-imports 8.7). */
function cutReply(value: unknown, isCut: boolean): Reply {
    return { kind: 'json', value, ...(isCut ? { headers: { 'x-truncated': 'true' } } : {}) };
}

function listReply({ entries, isCut }: CutList<unknown>): Reply {
    return cutReply(entries, isCut);
}

/** @throws 422 `InvalidParameter` unless it is a whole number from 1 to 100 */
function parseDepth(call: Call, absent: number): number {
    const given = call.exchange.query.get('depth');
    if (given === undefined) {
        return absent;
    }
    const depth = /^[1-9]\d{0,2}$/.test(given) ? Number(given) : Infinity;
    if (depth > MAX_ORIGIN_DEPTH) {
        throw invalidParameter(`invalid depth: "${given}"`, [{ field: 'depth', code: 'Invalid' }]);
    }
    return depth;
}

async function ancestors(call: Call): Promise<Reply> {
    const depth = parseDepth(call, MAX_ORIGIN_DEPTH);
    return listReply(await listAncestors(call.services.images, call.context, call.image.raw, depth));
}

async function dependents(call: Call): Promise<Reply> {
    const input = { depth: parseDepth(call, 1), onlyActive: call.isAnonymous };
    return listReply(await listDependents(call.services.images, call.context, call.image.raw, input));
}

async function clones(call: Call): Promise<Reply> {
    return listReply(await listClones(call.services.images, call.context, call.image.raw));
}

async function usage(call: Call): Promise<Reply> {
    const input = { dependents: call.exchange.query.boolean('dependents') ?? false };
    const answer = await imageUsage(call.services.images, call.context, call.image.raw, input);
    return cutReply(answer.usage, answer.isCut);
}

/** GET /images/:uuid/ancestors, /dependents, /clones and /usage (README table B, jobs-and-imports 8.7). */
export const lineageEndpoints: readonly Endpoint[] = [
    {
        name: 'ListImageAncestors',
        method: 'GET',
        path: '/images/:uuid/ancestors',
        summary: 'Lists the images an image was made on, nearest first.',
        parameters: [
            accountParameter,
            channelOrAnyParameter,
            { name: 'depth', summary: 'Most images to list, 1 to 100; default 100.' },
        ],
        chain: ['UUID', 'PAUTH', 'CHAN*', 'LOAD'],
        handle: ancestors,
    },
    {
        name: 'ListImageDependents',
        method: 'GET',
        path: '/images/:uuid/dependents',
        summary: 'Lists the images made on an image, directly or over others.',
        parameters: [
            accountParameter,
            channelOrAnyParameter,
            { name: 'depth', summary: 'Longest chain of origins to follow, 1 to 100; default 1.' },
        ],
        chain: ['UUID', 'PAUTH', 'CHAN*', 'LOAD'],
        handle: dependents,
    },
    {
        name: 'ListImageClones',
        method: 'GET',
        path: '/images/:uuid/clones',
        summary: 'Lists the clones of an image, oldest first; for an account only its own.',
        parameters: [accountParameter, channelOrAnyParameter],
        chain: ['AUTH', 'NAMED', 'UUID', 'CHAN*', 'LOAD'],
        handle: clones,
    },
    {
        name: 'GetImageUsage',
        method: 'GET',
        path: '/images/:uuid/usage',
        summary: 'Lists the active instances of an image and counts the images made on it.',
        parameters: [
            accountParameter,
            channelOrAnyParameter,
            { name: 'dependents', summary: '`true` also counts the instances of each image made on it.' },
        ],
        chain: ['AUTH', 'NAMED', 'UUID', 'CHAN*', 'LOAD'],
        handle: usage,
    },
];
