import type { JsonObject, RawImage } from './types.js';
import { isSharedWith } from './visibility.js';

/** An account that wants to know what is shared with it. */
export interface ShareReader {
    readonly account: string;
    /** Accounts whose images it takes without being asked. */
    readonly trusted: ReadonlySet<string>;
}

/**
 * The key `share` of a document (jobs-and-imports 8.8); `undefined` for an image that the account sees
 * for another reason than being on its ACL.
 */
export function shareDocument(raw: RawImage, { account, trusted }: ShareReader): JsonObject | undefined {
    return isSharedWith(raw, account)
        ? { shared: true, owner: raw.owner, trusted: trusted.has(raw.owner) }
        : undefined;
}
