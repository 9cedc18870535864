import { provenanceOf } from '../manifest/provenance.js';
import type { RawImage } from '../manifest/types.js';
import type { ImageServices, RequestContext } from './context.js';
import { cut, type CutList, factsOf, type ImageFacts, MAX_LINEAGE_RECORDS } from './lineage.js';

/** An image that was cloned from the image asked for. */
export type Clone = { readonly uuid: string } & ImageFacts & {
        /** When it was cloned, ISO date. */
        readonly at: string;
    };

function cloneOf(raw: RawImage): readonly Clone[] {
    const provenance = provenanceOf(raw);
    return provenance?.kind === 'clone' ? [{ uuid: raw.uuid, ...factsOf(raw), at: provenance.at }] : [];
}

function compareClones(a: Clone, b: Clone): number {
    return Date.parse(a.at) - Date.parse(b.at) || (a.uuid < b.uuid ? -1 : 1);
}

/**
 * The clones of an image, the one made first in front; for an account only its own
 * (jobs-and-imports 8.7).
 *
 * @throws 503 when the database cannot be reached
 */
export async function listClones(
    services: ImageServices,
    context: RequestContext,
    image: RawImage,
): Promise<CutList<Clone>> {
    const { account, signal } = context;
    const filter = { source_image: image.uuid, ...(account === undefined ? {} : { owner: account }) };
    const found = await services.database.search({
        anyOf: [filter],
        order: 'asc',
        // The database orders by publication, so what is listed first is known when all are read.
        limit: MAX_LINEAGE_RECORDS,
        signal,
    });
    return cut(found.flatMap(({ raw }) => cloneOf(raw)).sort(compareClones));
}
