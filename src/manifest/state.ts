import { toBoolean } from './coerce.js';
import type { ImageState, RawImage } from './types.js';

/** Whether the image has been activated; old records hold the text `"true"` (manifest 9). */
export function isActivated(raw: Pick<RawImage, 'activated'>): boolean {
    return toBoolean(raw.activated) === true;
}

/** Whether the image is disabled. */
export function isDisabled(raw: Pick<RawImage, 'disabled'>): boolean {
    return toBoolean(raw.disabled) === true;
}

/** Whether every account may see the image once it is activated. */
export function isPublic(raw: Pick<RawImage, 'public'>): boolean {
    return toBoolean(raw.public) === true;
}

/** Whether the record only stands for an image being made: `creating` or `failed` (http-api, vocabulary). */
export function isPlaceholder(raw: Pick<RawImage, 'state'>): boolean {
    return raw.state === 'creating' || raw.state === 'failed';
}

/** Whether a state, perhaps of another server's image, is that of one that can be used and based on. */
export function isUsableState(state: unknown): boolean {
    return state === 'active' || state === 'disabled';
}

/** The state that follows from the two flags (manifest 6). */
export function computeState(flags: { readonly activated: boolean; readonly disabled: boolean }): ImageState {
    if (!flags.activated) {
        return 'unactivated';
    }
    return flags.disabled ? 'disabled' : 'active';
}
