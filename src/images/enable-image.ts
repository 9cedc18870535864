import type { StoredImage } from '../database/database.js';
import { computeState, isActivated, isPlaceholder } from '../manifest/state.js';
import type { RawImage } from '../manifest/types.js';
import { changeImage, type Precondition } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';

/**
 * EnableImage and DisableImage: sets the flag and the state that follows from it; a placeholder
 * keeps its state (http-api 3.14, D41).
 *
 * @throws 404, 412, 422 `NotImageOwner`, 500, 503
 */
export async function setImageDisabled(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    disabled: boolean,
    precondition?: Precondition,
): Promise<StoredImage> {
    const change = (raw: RawImage) => {
        const state = isPlaceholder(raw)
            ? raw.state
            : computeState({ activated: isActivated(raw), disabled });
        return raw.disabled === disabled && raw.state === state ? undefined : { ...raw, disabled, state };
    };
    return changeImage(services, context, uuid, change, precondition);
}
