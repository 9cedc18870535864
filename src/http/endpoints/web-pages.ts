import { listImages } from '../../images/list-images.js';
import { toApiManifest } from '../../manifest/serialize.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import { imageListPage, LIST_PAGE_FILTERS, type ListPageFilters } from '../pages/image-list-page.js';
import { imagePage } from '../pages/image-page.js';
import { pageReply } from '../pages/page.js';
import { accountParameter, channelOrAnyParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

/** Images on a page of the list. */
const PAGE_SIZE = 100;

/** What GetImage shows everybody who sees the image, channels included. */
function shownManifest({ config }: Call, raw: RawImage): JsonObject {
    return toApiManifest(raw, { mode: config.mode, version2: true, inclAdminFields: false });
}

/** The filters that are set. @throws 422 for one that is repeated */
function givenFilters({ exchange }: Call): ListPageFilters {
    const given = LIST_PAGE_FILTERS.map((name) => [name, exchange.query.get(name)] as const);
    return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

async function list(call: Call): Promise<Reply> {
    const filters = givenFilters(call);
    const { name, os, type, state } = filters;
    const marker = call.exchange.query.get('marker');
    const found = await listImages(call.services.images, call.context, {
        ...(name === undefined ? {} : { name: `~${name}` }),
        ...(os === undefined ? {} : { os }),
        ...(type === undefined ? {} : { type }),
        ...(state === undefined ? {} : { state }),
        ...(marker === undefined ? {} : { marker }),
        // One more than is shown: it tells whether there is a next page, and where that starts.
        limit: String(PAGE_SIZE + 1),
        sort: 'published_at.desc',
        parsePublic: () => undefined,
        tags: [],
        billingTags: [],
        anonymous: call.isAnonymous,
    });
    const next = found[PAGE_SIZE]?.raw.uuid;
    return pageReply(
        imageListPage({
            manifests: found.slice(0, PAGE_SIZE).map(({ raw }) => shownManifest(call, raw)),
            filters,
            channels: (call.config.channels ?? []).map((channel) => channel.name),
            channel: filters.channel ?? call.context.channel,
            mayChooseState: !call.isAnonymous,
            isContinued: marker !== undefined,
            ...(next === undefined ? {} : { nextMarker: next }),
        }),
    );
}

function show(call: Call): Reply {
    const { account } = call;
    const channel = call.exchange.query.get('channel');
    return pageReply(
        imagePage({
            manifest: shownManifest(call, call.image.raw),
            ...(channel === undefined ? {} : { channel }),
            ...(account === undefined ? {} : { account }),
        }),
    );
}

/**
 * Pages to look at the images with a browser (operations 7 #20). They show what ListImages and GetImage would
 * answer the same caller, and change nothing.
 */
export const webPageEndpoints: readonly Endpoint[] = [
    {
        name: 'ListImagesPage',
        method: 'GET',
        path: '/ui/',
        summary: 'Page that lists images, newest first.',
        parameters: [
            accountParameter,
            channelOrAnyParameter,
            { name: 'name', summary: 'Text that names contain.' },
            { name: 'os', summary: 'Exact operating system.' },
            { name: 'type', summary: 'Exact type.' },
            { name: 'state', summary: 'As of ListImages.' },
            { name: 'marker', summary: 'UUID of the image to start at.' },
        ],
        chain: ['PAUTH', 'CHAN*', 'ACCOUNT'],
        handle: list,
    },
    {
        name: 'GetImagePage',
        method: 'GET',
        path: '/ui/images/:uuid',
        summary: 'Page of one image, with links to its files.',
        parameters: [accountParameter, channelOrAnyParameter],
        chain: ['UUID', 'PAUTH', 'CHAN*', 'LOAD'],
        handle: show,
    },
];
