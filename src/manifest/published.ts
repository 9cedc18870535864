import type { RawImage } from './types.js';

/**
 * When an image was published, in milliseconds since the epoch: what lists are ordered by
 * (backends 2.2). 0 if it never was or the stored date does not exist.
 */
export function publishedTime(raw: Pick<RawImage, 'published_at'>): number {
    const stored: unknown = raw.published_at;
    if (typeof stored !== 'string' || stored === '') {
        return 0;
    }
    const time = Date.parse(stored);
    return Number.isNaN(time) ? 0 : time;
}
