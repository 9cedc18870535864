import { validationFailed } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import type { SourceAddress } from '../../remotes/image-source.js';

/** A copy that an account wants to have of its image in another datacenter (jobs-and-imports 3.5). */
export interface WantedCopy {
    readonly uuid: string;
    readonly account: string;
    /** The datacenter it is in, and where that is. */
    readonly datacenter: string;
    readonly address: SourceAddress;
}

/** Copies are made for accounts only (jobs-and-imports 3.5 #1, 8.5). @throws 422 `ValidationFailed` */
export function requireAccount(account: string | undefined): string {
    if (!isUuid(account)) {
        throw validationFailed(`invalid image "account" (not a UUID): ${account}`, [
            { field: 'account', code: 'Invalid' },
        ]);
    }
    return account;
}
