import { OutgoingError } from '../../base/http-errors.js';
import type { RemoteImage } from './answers.js';

/** Reads the page that starts with an image, or the first one. */
export type PageReader = (marker: string | undefined) => Promise<readonly RemoteImage[]>;

/** Whether a request failed because there is no such image. */
export function isNotFound(error: unknown): boolean {
    return error instanceof OutgoingError && error.status === 404;
}

/**
 * The page after one that has been read. Pages start with the image named, so an image that was
 * deleted meanwhile cannot be named: then one before it does.
 */
async function pageAfter(read: PageReader, page: readonly RemoteImage[]): Promise<readonly RemoteImage[]> {
    for (const { uuid } of page.toReversed()) {
        try {
            return await read(uuid);
        } catch (error) {
            if (!isNotFound(error)) {
                throw error;
            }
        }
    }
    throw new OutgoingError('status', 'the list of images cannot be continued: a whole page was deleted');
}

/** All images of a list of any length, with two pages in memory (http-api 3.1, `marker`). */
export async function* imagesOfPages(read: PageReader): AsyncGenerator<RemoteImage, void, undefined> {
    let page = await read(undefined);
    let fresh = page;
    while (fresh.length > 0) {
        yield* fresh;
        const seen = new Set(page.map(({ uuid }) => uuid));
        page = await pageAfter(read, page);
        fresh = page.filter(({ uuid }) => !seen.has(uuid));
    }
}
