import { OutgoingError } from '../../base/http-errors.js';

/**
 * A tag or digest as the last part of a path. It may come from a caller or from a registry, so it must not
 * lead out of there.
 *
 * @throws OutgoingError when it would
 */
export function urlPart(text: string): string {
    if (text === '' || text === '.' || text === '..') {
        throw new OutgoingError('malformed', `"${text}" is neither a tag nor a digest`);
    }
    return encodeURIComponent(text).replaceAll('%3A', ':');
}
