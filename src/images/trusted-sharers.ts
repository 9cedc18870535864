import type { RawImage } from '../manifest/types.js';
import { isSharedWith } from '../manifest/visibility.js';
import type { ImageServices, RequestContext } from './context.js';

/**
 * Whom the account of a request trusts to share images with it (jobs-and-imports 8.8).
 *
 * @param raws what it is going to see
 * @returns `undefined`, and nothing is read, when none of them is shared with it
 * @throws 503 when the database cannot be reached
 */
export async function trustedSharers(
    services: ImageServices,
    context: RequestContext,
    raws: readonly RawImage[],
): Promise<ReadonlySet<string> | undefined> {
    const { account } = context;
    if (account === undefined || !raws.some((raw) => isSharedWith(raw, account))) {
        return undefined;
    }
    return new Set(await services.sharing.trustedAccounts(account));
}
