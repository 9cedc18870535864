import { isUsableState } from '../../../manifest/state.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';

/** A member of a document that is text; empty: it is not there, or no text. */
export function textOf(image: ImageDocument, key: string): string {
    const value = image[key];
    return typeof value === 'string' ? value : '';
}

/** Whether an image has been activated, so that it can be copied. */
export function isUsable(image: ImageDocument): boolean {
    return isUsableState(image['state']);
}

/** The newest images of each name. @param count of each; `undefined`: all */
export function latest(
    images: readonly ImageDocument[],
    count: number | undefined,
): readonly ImageDocument[] {
    if (count === undefined) {
        return images;
    }
    const newestFirst = images.toSorted((a, b) =>
        textOf(b, 'published_at').localeCompare(textOf(a, 'published_at')),
    );
    const taken = new Map<string, number>();
    return newestFirst.filter((image) => {
        const name = textOf(image, 'name');
        const before = taken.get(name) ?? 0;
        taken.set(name, before + 1);
        return before < count;
    });
}

/** The same images, each behind the one it is based on. Images that are based on each other are left in some order. */
export function baseFirst(images: Iterable<ImageDocument>): readonly ImageDocument[] {
    const all = new Map([...images].map((image) => [image.uuid, image]));
    const ordered = new Set<ImageDocument>();
    for (const image of all.values()) {
        const chain: ImageDocument[] = [];
        let next: ImageDocument | undefined = image;
        while (next !== undefined && !ordered.has(next) && !chain.includes(next)) {
            chain.push(next);
            next = all.get(textOf(next, 'origin'));
        }
        chain.reverse().forEach((one) => ordered.add(one));
    }
    return [...ordered];
}
