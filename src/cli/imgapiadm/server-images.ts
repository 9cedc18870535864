import type { ImageDocument } from '../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../remotes/imgapi/image-server-client.js';
import { imagesOfPages } from '../../remotes/imgapi/list-pages.js';
import { withRetries, type RetryOptions } from './retries.js';

/**
 * Parameters of requests that show an operator everything there is. Servers refuse them to others, so that no
 * list is short of what only operators may see.
 *
 * @param channel default: all of them
 */
export function everything(channel = '*'): Readonly<Record<string, string>> {
    return { state: 'all', inclAdminFields: 'true', channel };
}

/**
 * All images of a running server, a page at a time.
 *
 * @param filters parameters of the list
 * @throws OutgoingError
 */
export function listedImages(
    client: ImageServerClient,
    filters: Readonly<Record<string, string>>,
    retries: RetryOptions,
): AsyncIterable<ImageDocument> {
    return imagesOfPages((marker) => {
        const ask = (): ReturnType<typeof client.documents> =>
            client.documents(filters, marker, retries.signal);
        // A server that does not answer the very first question is not there.
        return marker === undefined ? ask() : withRetries(ask, retries);
    });
}
