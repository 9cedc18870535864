import type { ImageFile, ImageIcon } from '../manifest/types.js';
import type { StoredFileName } from './storage.js';

/** An upload about to become visible: what the record says before and after. */
export interface UploadIntent {
    readonly uuid: string;
    readonly name: StoredFileName;
    /** The storage that holds the upload. */
    readonly stor: string;
    /** Name the bytes have until they become visible: while it exists they have not. */
    readonly temporaryName: string;
    /** The record's entry for the bytes in place; absent: there are none. */
    readonly previous?: ImageFile | ImageIcon;
    /** The record's entry for the uploaded bytes. */
    readonly next: ImageFile | ImageIcon;
}

/** An intent that is on stable storage. */
export interface NotedUpload {
    readonly intent: UploadIntent;
    /** Bytes and record agree: forgets the intent, durably. */
    drop(): Promise<void>;
}

/**
 * Remembers uploads between "the bytes are in place" and "the record says so", so that a crash there
 * loses neither the old file nor the new one (backends 15, crash points for AddImageFile).
 */
export interface UploadJournal {
    /** Notes an intent before anything is changed. */
    note(intent: UploadIntent): Promise<NotedUpload>;
    /** What a crash has left. */
    pending(): Promise<readonly NotedUpload[]>;
}
