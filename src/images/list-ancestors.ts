import { MAX_ORIGIN_DEPTH } from '../base/constants.js';
import type { RawImage } from '../manifest/types.js';
import { accountMayAccess } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';
import { type CutList, factsOf, type ImageFacts } from './lineage.js';
import { findImage } from './load.js';

/** An image in the chain of origins; only its uuid when the account may not see it or it is not here. */
export type Ancestor =
    | ({ readonly uuid: string; readonly depth: number } & ImageFacts)
    | { readonly uuid: string; readonly depth: number; readonly hidden: true }
    | { readonly uuid: string; readonly depth: number; readonly missing: true };

function describe(context: RequestContext, raw: RawImage, depth: number): Ancestor {
    const { uuid } = raw;
    const isHidden = context.account !== undefined && !accountMayAccess(raw, context.account);
    return isHidden ? { uuid, depth, hidden: true } : { uuid, depth, ...factsOf(raw) };
}

/**
 * The chain of origins of an image, nearest first, whatever channels they are in. It ends at an
 * image that is not here, and before one that is in it already (jobs-and-imports 8.7).
 *
 * @param maxDepth longest list; only one that stops at 100 counts as cut
 * @throws 503 when the database cannot be reached
 */
export async function listAncestors(
    services: ImageServices,
    context: RequestContext,
    image: RawImage,
    maxDepth: number,
): Promise<CutList<Ancestor>> {
    const seen = new Set([image.uuid]);
    const entries: Ancestor[] = [];
    let next = image.origin;
    while (next !== undefined && !seen.has(next) && entries.length < maxDepth) {
        context.signal.throwIfAborted();
        const depth = entries.length + 1;
        const found = await findImage(services, next);
        seen.add(next);
        entries.push(
            found === undefined ? { uuid: next, depth, missing: true } : describe(context, found.raw, depth),
        );
        next = found?.raw.origin;
    }
    const isCut = entries.length === MAX_ORIGIN_DEPTH && next !== undefined && !seen.has(next);
    return { entries, isCut };
}
