import { invalidParameter, operatorOnly, validationFailed } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { text } from '../manifest/coerce.js';
import type { JsonValue } from '../manifest/types.js';
import type { ImageServices, RequestContext } from './context.js';
import { requireObject } from './object-rule.js';

const FIELD = 'trusted_accounts';
/** Most accounts in one list, each counted once (README table D). */
const MAX_TRUSTED = 1000;

/** Whom an account trusts to share images with it, as answered. */
export interface ImageSharing {
    readonly account: string;
    readonly trusted_accounts: readonly string[];
}

/** Only operators and the account itself may look at its list or change it. @throws 403 `OperatorOnly` */
function requireSelf(context: RequestContext, account: string): void {
    if (context.account !== undefined && context.account !== account) {
        throw operatorOnly();
    }
}

/** @throws 422 `InvalidParameter` */
function refuse(why: string): never {
    throw invalidParameter(`invalid "${FIELD}" (${why}`, [{ field: FIELD, code: 'Invalid' }]);
}

/** The accounts a body lists, each once, in order. @throws 422 */
function trustedAccounts(body: JsonValue | undefined): readonly string[] {
    const listed = requireObject(body)[FIELD];
    if (listed === undefined) {
        throw validationFailed(`missing "${FIELD}"`, [{ field: FIELD, code: 'MissingParameter' }]);
    }
    if (!Array.isArray(listed)) {
        return refuse('not an array)');
    }
    const accounts = new Set<string>();
    for (const [index, item] of (listed as readonly JsonValue[]).entries()) {
        accounts.add(isUuid(item) ? item : refuse(`item ${index} is not a UUID): ${text(item)}`));
    }
    return accounts.size > MAX_TRUSTED ? refuse(`more than ${MAX_TRUSTED})`) : [...accounts];
}

/**
 * GetImageSharing: whom an account trusts (jobs-and-imports 8.8). Nobody knows of an account here:
 * of an unknown one the list is empty.
 *
 * @throws 403 `OperatorOnly`, 503
 */
export async function getImageSharing(
    services: ImageServices,
    context: RequestContext,
    account: string,
): Promise<ImageSharing> {
    requireSelf(context, account);
    return { account, trusted_accounts: await services.sharing.trustedAccounts(account) };
}

/**
 * PutImageSharing: replaces whom an account trusts (jobs-and-imports 8.8).
 *
 * @param body `undefined`: absent
 * @throws 403 `OperatorOnly`, 422, 500, 503
 */
export async function putImageSharing(
    services: ImageServices,
    context: RequestContext,
    account: string,
    body: JsonValue | undefined,
): Promise<ImageSharing> {
    requireSelf(context, account);
    const trusted = trustedAccounts(body);
    await services.sharing.setTrustedAccounts(account, trusted);
    return { account, trusted_accounts: trusted };
}
