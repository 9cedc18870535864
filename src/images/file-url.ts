import { invalidParameter } from '../base/errors.js';
import { parseHttpUrl } from '../base/http-urls.js';
import { isObject } from '../manifest/coerce.js';

/**
 * Reads the address in the body of a request to fetch a file (jobs-and-imports 7.3 #4, #5). User info in it
 * is dropped: we send no credentials.
 *
 * @throws 422 `InvalidParameter`
 */
export function requireFileUrl(body: unknown): string {
    const given = isObject(body) ? body['file_url'] : undefined;
    if (typeof given !== 'string' || given === '') {
        throw invalidParameter('missing "file_url" field from request body', [
            { field: 'file_url', code: 'Missing' },
        ]);
    }
    const url = given.startsWith('https:') ? parseHttpUrl(given) : undefined;
    if (url === undefined) {
        throw invalidParameter('Only URLs using the https: scheme are supported', [
            { field: 'file_url', code: 'Invalid' },
        ]);
    }
    url.username = '';
    url.password = '';
    return url.href;
}
