import { UNSET_OWNER_UUID } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { text } from '../manifest/coerce.js';
import type { ImageServices } from './context.js';

/**
 * The owner that an image of another server gets here: the operator's account for the unset one, outside a
 * datacenter always that (http-api 3.4, jobs-and-imports 3.1).
 *
 * @param owner as the manifest says
 */
export function ownerHere({ config }: Pick<ImageServices, 'config'>, owner: string): string {
    const { mode, adminUuid } = config.current;
    if (mode !== 'dc') {
        return UNSET_OWNER_UUID;
    }
    return owner === UNSET_OWNER_UUID ? (adminUuid ?? owner) : owner;
}

/**
 * Makes sure that an owner is a known account, where there are accounts (mode `dc`). A missing or
 * malformed owner is left to the validation of the manifest (http-api D32).
 *
 * @throws 422 `OwnerDoesNotExist`; 503 when the user database cannot be reached
 */
export async function requireKnownOwner(services: ImageServices, owner: unknown): Promise<void> {
    const { accounts } = services;
    // As text, since the manifest rules take a uuid in an array for the uuid.
    const uuid = text(owner);
    if (services.config.current.mode !== 'dc' || accounts === undefined || !isUuid(uuid)) {
        return;
    }
    if (!(await accounts.exists(uuid))) {
        throw new ApiError('OwnerDoesNotExist', `owner "${uuid}" does not exist`);
    }
}
