import { listImages } from '../../images/list-images.js';
import { toApiManifest } from '../../manifest/serialize.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import { imageListPage, LIST_PAGE_FILTERS, type ListPageFilters } from '../pages/image-list-page.js';
import { imagePage } from '../pages/image-page.js';
import { pageReply } from '../pages/page.js';
import { accountParameter, viaParameter } from '../parameters.js';
import type { Reply } from '../reply.js';
import type { ParameterFacts } from '../route.js';
import { hasChannels } from '../services.js';

/** Images on a page of the list. */
const PAGE_SIZE = 100;

/** As of GetImage, but that a page without a channel is never refused. */
const pageChannelParameter: ParameterFacts = {
    name: 'channel',
    summary:
        'Channel to look in, `*` for all; default: the default channel, or all where there is none. Ignored on a server without channels.',
};

/** What GetImage shows everybody who sees the image, channels included. */
function shownManifest({ config }: Call, raw: RawImage): JsonObject {
    return toApiManifest(raw, { mode: config.mode, version2: true, inclAdminFields: false });
}

/** The channel that links have to name: not the default, and nothing that no step has looked at. */
function keptChannel({ config, context, exchange }: Call): string | undefined {
    if (!hasChannels(config)) {
        return undefined;
    }
    return context.channel === undefined ? '*' : exchange.query.get('channel');
}

/** The filters that are set. @throws 422 for one that is repeated */
function givenFilters(call: Call): ListPageFilters {
    const valueOf = (name: (typeof LIST_PAGE_FILTERS)[number]): string | undefined =>
        name === 'channel' ? keptChannel(call) : call.exchange.query.get(name);
    const given = LIST_PAGE_FILTERS.map((name) => [name, valueOf(name)] as const);
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
            hasPublicImages: call.config.mode !== 'private',
            isContinued: marker !== undefined,
            ...(next === undefined ? {} : { nextMarker: next }),
        }),
    );
}

function show(call: Call): Reply {
    const { account } = call;
    const channel = keptChannel(call);
    const via = account === undefined ? undefined : call.exchange.query.get('via');
    return pageReply(
        imagePage({
            manifest: shownManifest(call, call.image.raw),
            hasChannels: hasChannels(call.config),
            ...(channel === undefined ? {} : { channel }),
            ...(account === undefined ? {} : { account }),
            ...(via === undefined ? {} : { via }),
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
            pageChannelParameter,
            { name: 'name', summary: 'Text that names contain.' },
            { name: 'os', summary: 'Exact operating system.' },
            { name: 'type', summary: 'Exact type, or `!type` for all others.' },
            { name: 'state', summary: 'As of ListImages.' },
            { name: 'marker', summary: 'UUID of the image to start at.' },
        ],
        chain: ['PAUTH', 'CHAN**', 'ACCOUNT'],
        handle: list,
    },
    {
        name: 'GetImagePage',
        method: 'GET',
        path: '/ui/images/:uuid',
        summary: 'Page of one image, with links to its files.',
        parameters: [accountParameter, pageChannelParameter, viaParameter],
        chain: ['UUID', 'PAUTH', 'CHAN**', 'LOAD*'],
        handle: show,
    },
];
