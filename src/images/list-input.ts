import { invalidParameter, notAUuid } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';

/** What a ListImages request asks for, as given; `''` is a given, empty value (http-api 3.1). */
export interface ListInput {
    readonly owner?: string;
    readonly state?: string;
    readonly name?: string;
    readonly version?: string;
    readonly os?: string;
    readonly type?: string;
    /** Reads the `public` parameter when its turn comes; may throw 422. */
    readonly parsePublic: () => boolean | undefined;
    /** Key and value of each `tag.<key>` parameter; an empty value asks for any value. */
    readonly tags: readonly (readonly [string, string])[];
    readonly billingTags: readonly string[];
    /** The image that the images were made from. */
    readonly sourceImage?: string;
    readonly limit?: string;
    readonly marker?: string;
    readonly sort?: string;
    /** Whether the caller is not authenticated on a server of mode `public` or `private`. */
    readonly anonymous: boolean;
}

/** Most images, and the default, in mode `dc` (http-api D22). */
const DC_LIMIT = 1000;

/** States a list can be limited to. */
const LIST_STATES = ['active', 'disabled', 'unactivated', 'all', 'creating', 'failed'] as const;
/** One of {@link LIST_STATES}. */
export type ListState = (typeof LIST_STATES)[number];

/** Number of images to return at most; `undefined`: all (http-api 3.1 #2, D21, D22). @throws 422 */
export function parseLimit(given: string | undefined, isDatacenter: boolean): number | undefined {
    if (given !== undefined && given !== '' && !/^[0-9]+$/.test(given)) {
        throw invalidParameter(`invalid limit: "${given}"`, [{ field: 'limit', code: 'Invalid' }]);
    }
    const limit = Number(given ?? '');
    if (limit === 0 || limit > Number.MAX_SAFE_INTEGER) {
        return isDatacenter ? DC_LIMIT : undefined;
    }
    return isDatacenter ? Math.min(limit, DC_LIMIT) : limit;
}

/** The state asked for (http-api 3.1 #3). @throws 422 */
export function parseState(given: string | undefined): ListState {
    const wanted = given === undefined || given === '' ? 'active' : given;
    const state = LIST_STATES.find((name) => name === wanted);
    if (state === undefined) {
        throw invalidParameter(`invalid state: "${wanted}"`, [{ field: 'state', code: 'Invalid' }]);
    }
    return state;
}

/** The direction asked for; only `published_at` can be sorted by (http-api 3.1 #6, #7). @throws 422 */
export function parseSort(given: string | undefined): 'asc' | 'desc' {
    if (given === undefined || given === '') {
        return 'asc';
    }
    const dot = given.indexOf('.');
    const attribute = dot === -1 ? given : given.slice(0, dot);
    const direction = dot === -1 ? '' : given.slice(dot + 1);
    const wrong = (what: string, value: string) =>
        invalidParameter(`invalid 'sort': not a valid ${what}: '${value}'`, [
            { field: 'sort', code: 'Invalid' },
        ]);
    if (attribute !== 'published_at') {
        throw wrong('sorting attribute', attribute);
    }
    const order = direction === '' ? 'asc' : direction.toLowerCase();
    if (order !== 'asc' && order !== 'desc') {
        throw wrong('sort direction', direction);
    }
    return order;
}

/**
 * The image that the images asked for were made from; `undefined` when the caller may not know, so
 * that it has no effect (README, table B).
 *
 * @param mayKnow whether the caller is shown where images came from, if they are its own
 * @throws 422
 */
export function parseSourceImage(given: string | undefined, mayKnow: boolean): string | undefined {
    if (given !== undefined && !isUuid(given)) {
        throw notAUuid('source_image', given);
    }
    return mayKnow ? given : undefined;
}
