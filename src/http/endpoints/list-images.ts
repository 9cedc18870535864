import { listImages } from '../../images/list-images.js';
import type { Call } from '../call.js';
import { listReply, withShareInfo } from '../document.js';
import type { Endpoint } from '../endpoint.js';
import {
    accountParameter,
    channelOrAnyParameter,
    provenanceParameter,
    shareInfoParameter,
} from '../parameters.js';
import type { Reply } from '../reply.js';

/** Passed on as given; an empty value is not the same as none. */
const TEXT_PARAMETERS = [
    'owner',
    'name',
    'version',
    'os',
    'type',
    'state',
    'limit',
    'marker',
    'sort',
] as const;

async function handle(call: Call): Promise<Reply> {
    const { query } = call.exchange;
    const given = TEXT_PARAMETERS.filter((name) => query.has(name));
    const sourceImage = query.get('source_image');
    const images = await listImages(call.services.images, call.context, {
        ...Object.fromEntries(given.map((name) => [name, query.raw(name) ?? ''])),
        tags: query.startingWith('tag.'),
        billingTags: query.all('billing_tag').filter((tag) => tag !== ''),
        parsePublic: () => query.boolean('public'),
        ...(sourceImage === undefined ? {} : { sourceImage }),
        anonymous: call.isAnonymous,
    });
    const raws = images.map((image) => image.raw);
    return listReply(await withShareInfo(call, raws), raws);
}

/** GET /images (http-api 3.1). */
export const listImagesEndpoint: Endpoint = {
    name: 'ListImages',
    method: 'GET',
    path: '/images',
    aliases: ['/images/'],
    summary: 'Lists images, oldest first.',
    parameters: [
        accountParameter,
        channelOrAnyParameter,
        { name: 'owner', summary: 'Only images of this owner.' },
        {
            name: 'state',
            summary: '`active` (default), `disabled`, `unactivated`, `creating`, `failed` or `all`.',
        },
        { name: 'name', summary: 'Exact name, or `~text` for names that contain the text.' },
        { name: 'version', summary: 'Exact version, or `~text`.' },
        { name: 'os', summary: 'Exact operating system.' },
        { name: 'type', summary: 'Exact type, or `!type` for all others.' },
        { name: 'public', summary: '`true`: only public images; `false`: only private ones.' },
        { name: 'tag.KEY', summary: 'Only images with this value of the tag KEY; empty: with any value.' },
        { name: 'billing_tag', summary: 'Only images with this billing tag; may be repeated.' },
        { name: 'limit', summary: 'Most images to return.' },
        { name: 'marker', summary: 'Start at this image uuid or date, inclusive.' },
        { name: 'sort', summary: '`published_at.asc` (default) or `published_at.desc`.' },
        { name: 'inclAdminFields', summary: '`true` adds `files[].stor`; needs authentication.' },
        {
            name: 'source_image',
            summary:
                'Only images made from the image with this UUID, as far as the caller may know; needs authentication, else it does nothing.',
        },
        provenanceParameter,
        shareInfoParameter,
    ],
    chain: ['PAUTH', 'CHAN*', 'ADMINF', 'PROVENANCE', 'ACCOUNT', 'SHARE'],
    handle,
};
