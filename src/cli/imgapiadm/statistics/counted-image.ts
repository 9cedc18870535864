import { isActive } from '../../../images/lineage.js';
import type { RawImage } from '../../../manifest/types.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';
import { imageOfDocument, imageOfRecord, type CheckedImage } from '../checking/checked-image.js';

/** What is counted of an image. */
export interface CountedImage extends Pick<
    CheckedImage,
    'uuid' | 'name' | 'version' | 'origin' | 'state' | 'channels'
> {
    readonly owner: string;
    readonly type: string;
    readonly os: string;
    readonly isActive: boolean;
    /** Files, and the icon if its size is known. */
    readonly files: readonly { readonly stor: string; readonly size: number }[];
    /** Whether there is an icon that nobody tells the size of. */
    readonly hasUntoldIcon: boolean;
}

/** How records have `type` and `os` of an image of which they are not known; documents leave them out. */
const UNKNOWN = 'null';

function sizesOf({ files }: CheckedImage): CountedImage['files'] {
    return files.flatMap(({ stor, expected: { size } }) => (size === undefined ? [] : [{ stor, size }]));
}

/** From a record. */
export function countedRecord(raw: RawImage): CountedImage {
    const { owner, type, os } = raw;
    const image = imageOfRecord(raw);
    return {
        ...image,
        owner,
        type,
        os,
        isActive: isActive(raw),
        files: sizesOf(image),
        hasUntoldIcon: false,
    };
}

/** From what a server tells of an image, admin fields included. */
export function countedDocument(document: ImageDocument): CountedImage {
    const textOf = (key: string): string => {
        const value = document[key];
        return typeof value === 'string' ? value : UNKNOWN;
    };
    const image = imageOfDocument(document);
    return {
        ...image,
        owner: textOf('owner'),
        type: textOf('type'),
        os: textOf('os'),
        isActive: image.state === 'active' && document['disabled'] !== true,
        files: sizesOf(image),
        hasUntoldIcon: document['icon'] === true,
    };
}
