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
    /** The record's entries for the files behind, which are out of it while `previous` is; absent: none. */
    readonly behind?: readonly ImageFile[];
    /** The record's entry for the uploaded bytes. */
    readonly next: ImageFile | ImageIcon;
}

/** What a crash has left. */
export interface PendingUpload {
    readonly intent: UploadIntent;
    /**
     * Bytes and record agree: forgets the intent, durably. Absent: it lies where {@link UploadJournal.claim}
     * finds it.
     */
    readonly drop?: () => Promise<void>;
}

/** The right to replace one file of an image: no other process has it meanwhile. */
export interface UploadClaim {
    /** What a process that has ended was doing here; to be settled before anything is changed. */
    readonly left?: UploadIntent;
    /** Notes an intent before anything is changed, in the place of what was noted before. */
    note(intent: UploadIntent): Promise<void>;
    /**
     * Gives the right back. What was noted is forgotten, durably, or kept for a later pass.
     *
     * @param isSettled whether bytes and record agree
     */
    end(isSettled: boolean): Promise<void>;
}

/**
 * Remembers uploads between "the bytes are in place" and "the record says so", so that a crash there
 * loses neither the old file nor the new one (backends 15, crash points for AddImageFile), and lets one
 * process at a time go through there.
 */
export interface UploadJournal {
    /**
     * Waits until no other process finishes an upload of this file. Calls of one process for the same
     * file follow one another: they run in the image's queue.
     *
     * @throws 503 when that takes too long; the file system's error
     */
    claim(uuid: string, name: StoredFileName): Promise<UploadClaim>;
    /**
     * What a crash has left; nothing that a running process is doing. Claims that a crash ended before
     * anything was done are removed.
     *
     * @param uuid of one image; absent: of all
     */
    pending(uuid?: string): Promise<readonly PendingUpload[]>;
}
