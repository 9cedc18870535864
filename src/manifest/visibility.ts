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

/** Whether an account may see an image for one reason only: its owner has shared it (jobs-and-imports 8.8). */
export function isSharedWith(raw: RawImage, account: string): boolean {
    return raw.owner !== account && isActivated(raw) && !isPublic(raw) && raw.acl.includes(account);
}
