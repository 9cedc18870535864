import { OutgoingError } from '../../base/http-errors.js';

/** An image of a list, in any form. */
export interface ListedImage {
    readonly uuid: string;
}

/** Reads the page that starts with an image, or the first one. */
export type PageReader<T extends ListedImage> = (marker: string | undefined) => Promise<readonly T[]>;

/** Whether a request failed because there is no such image. */
export function isNotFound(error: unknown): boolean {
    return error instanceof OutgoingError && error.status === 404;
}

/**
 * The page after one that has been read. Pages start with the image named, so an image that was
 * deleted meanwhile cannot be named: then one before it does.
 */
async function pageAfter<T extends ListedImage>(
    read: PageReader<T>,
    page: readonly T[],
): Promise<readonly T[]> {
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
export async function* imagesOfPages<T extends ListedImage>(
    read: PageReader<T>,
): AsyncGenerator<T, void, undefined> {
    let page = await read(undefined);
    let fresh = page;
    while (fresh.length > 0) {
        yield* fresh;
        const seen = new Set(page.map(({ uuid }) => uuid));
        page = await pageAfter(read, page);
        fresh = page.filter(({ uuid }) => !seen.has(uuid));
    }
}
