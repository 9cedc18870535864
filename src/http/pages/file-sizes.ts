import { bytesText } from '../../base/quantities.js';

/** A file as records have it: old ones may have anything as its size. */
export interface Sized {
    readonly size?: unknown;
}

/** Size of a file in bytes; `undefined` where that is not known. */
export function fileSize({ size }: Sized): number | undefined {
    const bytes = Number(size);
    return Number.isFinite(bytes) && bytes >= 0 ? bytes : undefined;
}

/** Total size of files for people; empty if there is none, or one whose size nobody knows. */
export function totalSizeText(files: readonly Sized[]): string {
    const sizes = files.map(fileSize);
    return sizes.length === 0 || !sizes.every((size) => size !== undefined)
        ? ''
        : bytesText(sizes.reduce((sum, size) => sum + size, 0));
}
