import { invalidParameter } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import type { StoredImage } from '../database/database.js';
import type { Marker } from '../database/query.js';
import { publishedTime } from '../manifest/published.js';
import type { ImageServices, RequestContext } from './context.js';
import { listFilters } from './list-filters.js';
import { type ListInput, parseLimit, parseSort, parseSourceImage, parseState } from './list-input.js';

/** Where the page starts (http-api 3.1 #8, #9). @throws 404, 422, 503 */
async function findMarker(services: ImageServices, given: string | undefined): Promise<Marker | undefined> {
    if (given === undefined || given === '') {
        return undefined;
    }
    if (isUuid(given)) {
        const { raw } = await services.database.get(given);
        return { time: publishedTime(raw), uuid: given };
    }
    const time = Date.parse(given);
    if (Number.isNaN(time)) {
        const value = JSON.stringify(given);
        throw invalidParameter(`invalid value for "marker" param: ${value} is not a UUID or date string`, [
            { field: 'marker', code: 'Invalid' },
        ]);
    }
    return { time };
}

/**
 * ListImages: the images the caller may see that match all filters, oldest first unless asked
 * otherwise (http-api 3.1). Anonymous callers outside a datacenter see active images only.
 *
 * @throws 404 for a marker that is no image, 422, 500, 503
 */
export async function listImages(
    services: ImageServices,
    context: RequestContext,
    input: ListInput,
): Promise<readonly StoredImage[]> {
    const isDatacenter = services.config.current.mode === 'dc';
    const limit = parseLimit(input.limit, isDatacenter);
    const asked = parseState(input.state);
    const onlyActive = input.anonymous && !isDatacenter;
    if (onlyActive && asked !== 'active' && asked !== 'all') {
        return [];
    }
    const isPublic = input.parsePublic();
    const order = parseSort(input.sort);
    const mayKnowSource = isDatacenter || !input.anonymous;
    const sourceImage = parseSourceImage(input.sourceImage, mayKnowSource);
    const marker = await findMarker(services, input.marker);
    const anyOf = listFilters({
        input,
        state: onlyActive ? 'active' : asked,
        isPublic,
        account: context.account,
        channel: context.channel,
        sourceImage,
    });
    if (anyOf.length === 0) {
        return [];
    }
    return services.database.search({
        anyOf,
        order,
        signal: context.signal,
        cacheFor: context.account ?? '',
        ...(marker === undefined ? {} : { marker }),
        ...(limit === undefined ? {} : { limit }),
    });
}
