import { isObject } from '../coerce.js';
import { invalidResponse, objectIn, textIn } from './members.js';

/** Where every server of LXD images has its index. */
export const INDEX_PATH = 'streams/v1/index.json';

const DATATYPE = 'image-downloads';

/**
 * The path of the products that the index of a server names (jobs-and-imports 6).
 *
 * @param document of whatever form
 * @throws 400 `InvalidContent`
 */
export function productsPath(document: unknown): string {
    const index = objectIn(document, 'index');
    if (index === undefined) {
        throw invalidResponse('no index found');
    }
    const downloads = Object.values(index)
        .filter(isObject)
        .find((entry) => textIn(entry, 'datatype') === DATATYPE);
    if (downloads === undefined) {
        throw invalidResponse('no image downloads found');
    }
    const path = textIn(downloads, 'path');
    if (path === undefined) {
        throw invalidResponse('no image path found in the index');
    }
    return path;
}
