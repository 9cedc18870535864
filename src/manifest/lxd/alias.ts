import { invalidParameter, validationFailed } from '../../base/errors.js';
import type { LxdAlias } from './lxd-image.js';

const FIELD = 'alias';

/**
 * Reads the parameter `alias` (jobs-and-imports 6 #2, #3).
 *
 * @throws 422 `ValidationFailed`, 422 `InvalidParameter`
 */
export function parseLxdAlias(text: string | undefined): LxdAlias {
    if (text === undefined || text === '') {
        throw validationFailed('missing parameters', [{ field: FIELD, code: 'MissingParameter' }]);
    }
    const colon = text.indexOf(':', 1);
    if (colon < 0 || text.startsWith(':')) {
        throw invalidParameter('alias must be in the format "registry:image"', [
            { field: FIELD, code: 'InvalidParameter' },
        ]);
    }
    return { text, registry: text.slice(0, colon), name: text.slice(colon + 1) };
}
