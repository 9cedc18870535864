import { forEachParallel } from '../base/parallel.js';
import { compareImages } from '../database/match.js';
import type { Filter } from '../database/query.js';
import type { RawImage } from '../manifest/types.js';
import { accountMayAccess } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';
import { accessibleOfOthers } from './list-filters.js';
import {
    type CutList,
    factsOf,
    type ImageFacts,
    isActive,
    MAX_LINEAGE_ENTRIES,
    MAX_LINEAGE_RECORDS,
} from './lineage.js';

/** An image whose chain of origins holds the image asked for. */
export type Dependent = { readonly uuid: string; readonly depth: number } & ImageFacts & {
        readonly origin: string | undefined;
    };

/** Which dependents are wanted. */
export interface DependentsInput {
    /** Longest chain from a dependent to the image, 1 to 100. */
    readonly depth: number;
    readonly onlyActive: boolean;
}

/** Origins that one search asks for. */
const ORIGINS_PER_SEARCH = 50;
const PARALLEL_SEARCHES = 4;

/** Filters whose union is what may be listed. */
function listable(account: string | undefined, onlyActive: boolean): readonly Filter[] {
    const common: Filter = onlyActive ? { activated: true, disabled: false } : {};
    return account === undefined
        ? [common]
        : [{ ...common, owner: account }, ...accessibleOfOthers(account, common)];
}

function batches(uuids: readonly string[]): readonly (readonly string[])[] {
    const count = Math.ceil(uuids.length / ORIGINS_PER_SEARCH);
    return Array.from({ length: count }, (_, i) =>
        uuids.slice(i * ORIGINS_PER_SEARCH, (i + 1) * ORIGINS_PER_SEARCH),
    );
}

/** The images made on any of `origins` that match one of `filters`, at most `limit` of each search, oldest first. */
async function madeOn(
    services: ImageServices,
    origins: readonly string[],
    filters: readonly Filter[],
    limit: number,
    signal: AbortSignal,
): Promise<RawImage[]> {
    const found: RawImage[] = [];
    await forEachParallel(batches(origins), PARALLEL_SEARCHES, async (batch) => {
        const anyOf = batch.flatMap((origin) => filters.map((filter) => ({ ...filter, origin })));
        const images = await services.database.search({ anyOf, order: 'asc', limit, signal });
        found.push(...images.map(({ raw }) => raw));
    });
    return found.sort(compareImages);
}

/**
 * The images that were made on an image, directly or over others, nearest first, then oldest first,
 * in all channels (jobs-and-imports 8.7). Chains are followed through images that are not listed.
 *
 * @throws 503 when the database cannot be reached
 */
export async function listDependents(
    services: ImageServices,
    context: RequestContext,
    image: RawImage,
    input: DependentsInput,
): Promise<CutList<Dependent>> {
    const { account, signal } = context;
    const isListed = (raw: RawImage): boolean =>
        (!input.onlyActive || isActive(raw)) && (account === undefined || accountMayAccess(raw, account));
    const seen = new Set([image.uuid]);
    const entries: Dependent[] = [];
    let origins = [image.uuid];
    let isCut = false;
    for (let depth = 1; depth <= input.depth && origins.length > 0 && !isCut; depth += 1) {
        // Behind the last level nothing is followed, so what is not listed need not be read.
        const isLast = depth === input.depth;
        const filters = isLast ? listable(account, input.onlyActive) : [{}];
        const room = isLast ? MAX_LINEAGE_ENTRIES - entries.length : MAX_LINEAGE_RECORDS - seen.size;
        // One more shows that there are more; another one is the image itself, in a circle of origins.
        const found = await madeOn(services, origins, filters, room + 2, signal);
        const fresh = found.filter(({ uuid }) => !seen.has(uuid));
        const listed = fresh.filter(isListed).map((raw) => ({
            uuid: raw.uuid,
            depth,
            ...factsOf(raw),
            origin: raw.origin,
        }));
        entries.push(...listed);
        isCut = fresh.length > room || entries.length > MAX_LINEAGE_ENTRIES;
        fresh.forEach(({ uuid }) => seen.add(uuid));
        origins = fresh.map(({ uuid }) => uuid);
    }
    return { entries: entries.slice(0, MAX_LINEAGE_ENTRIES), isCut };
}
