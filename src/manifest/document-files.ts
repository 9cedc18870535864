import { isObject } from './coerce.js';

/** @param image a record or a document, perhaps of another server: nothing is sure of its files */
function filesOf(image: object): readonly unknown[] {
    const { files } = image as { readonly files?: unknown };
    return Array.isArray(files) ? files : [];
}

/** Bytes of all files of an image; `undefined`: it has none, or does not say of each. */
export function bytesOfFiles(image: object): number | undefined {
    const sizes = filesOf(image).map((file) => (isObject(file) ? file['size'] : undefined));
    return sizes.length > 0 && sizes.every((size) => typeof size === 'number')
        ? sizes.reduce((sum, size) => sum + size, 0)
        : undefined;
}

/** SHA-1 of the first file, by which two images of one uuid are compared; `undefined`: there is none. */
export function sha1OfFirstFile(image: object): string | undefined {
    const [first] = filesOf(image);
    const sha1 = isObject(first) ? first['sha1'] : undefined;
    return typeof sha1 === 'string' ? sha1 : undefined;
}
