import type { ImageDocument } from '../../../remotes/imgapi/answers.js';

/** A member of a document that is text; empty: it is not there, or no text. */
export function textOf(image: ImageDocument, key: string): string {
    const value = image[key];
    return typeof value === 'string' ? value : '';
}

/** Bytes of all files of an image. */
export function sizeOf({ files }: ImageDocument): number {
    const sizes = Array.isArray(files) ? files.map((file) => (file as { size?: unknown }).size) : [];
    return sizes.reduce<number>((sum, size) => sum + (typeof size === 'number' ? size : 0), 0);
}

/** SHA-1 of the first file; empty: it has none. */
export function sha1Of({ files }: ImageDocument): string {
    const first: unknown = Array.isArray(files) ? files[0] : undefined;
    const sha1 = (first as { sha1?: unknown } | undefined)?.sha1;
    return typeof sha1 === 'string' ? sha1 : '';
}

/** Whether an image has been activated, so that it can be copied. */
export function isUsable(image: ImageDocument): boolean {
    return ['active', 'disabled'].includes(textOf(image, 'state'));
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
