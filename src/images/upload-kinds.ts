import { MAX_ICON_SIZE, MAX_ICON_SIZE_STR, MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR } from '../base/constants.js';
import type { StoredFileName } from '../storage/storage.js';
import { fileName } from './image-files.js';

/** How the two kinds of upload differ, apart from their place in the record (http-api 3.8, 3.12). */
export interface UploadKind {
    readonly name: StoredFileName;
    /** As size messages name it. */
    readonly subject: string;
    readonly plural: string;
    /** As the message of a wrong hash names it. */
    readonly hashed: string;
    /** Bytes. */
    readonly maxSize: number;
    readonly maxSizeText: string;
    /** Code of the error for bytes that are not those announced. */
    readonly mismatch: 'Download' | 'Upload';
    /** Start of the message when the storage fails. */
    readonly receiveFailure: string;
    /** Message when the record cannot be saved. */
    readonly saveFailure: string;
}

/** AddImageFile. */
export const FILE_UPLOAD: UploadKind = {
    name: 'file0',
    subject: 'image file',
    plural: 'files',
    hashed: 'file',
    maxSize: MAX_IMAGE_SIZE,
    maxSizeText: MAX_IMAGE_SIZE_STR,
    mismatch: 'Download',
    receiveFailure: 'error receiving image file',
    saveFailure: 'could not save image',
};

/** A file of an image by its place in `files`. */
export function fileUpload(index: number): UploadKind {
    return index === 0 ? FILE_UPLOAD : { ...FILE_UPLOAD, name: fileName(index) };
}

/** AddImageIcon. */
export const ICON_UPLOAD: UploadKind = {
    name: 'icon',
    subject: 'icon',
    plural: 'icons',
    hashed: 'icon file',
    maxSize: MAX_ICON_SIZE,
    maxSizeText: MAX_ICON_SIZE_STR,
    mismatch: 'Upload',
    receiveFailure: 'error receiving image icon',
    saveFailure: 'could not save icon data',
};
