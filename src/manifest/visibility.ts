import { isActivated, isPublic } from './state.js';
import type { RawImage } from './types.js';

/**
 * Whether an account may see and use an image: its owner always, others once it is activated and
 * public or shared with them, disabled or not (http-api 1.15).
 */
export function accountMayAccess(raw: RawImage, account: string): boolean {
    if (raw.owner === account) {
        return true;
    }
    return isActivated(raw) && (isPublic(raw) || raw.acl.includes(account));
}
