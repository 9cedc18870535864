import type { FileBytes, Files } from './backup-files.js';

/** Where a backup goes (operations 3.2). All paths are below the base directory, with `/` between names. */
export interface BackupTarget {
    /** For people. */
    readonly where: string;
    /**
     * Tells what the last backup has; changes nothing.
     *
     * @throws Error when no backup may be made there
     */
    open(): Promise<Files>;
    /** Gets ready for changes. */
    begin(): Promise<void>;
    /** Whether the last backup has these bytes. */
    hasBytes(file: FileBytes): Promise<boolean>;
    /** Takes over a file of the last backup. */
    keep(path: string): Promise<void>;
    /** Stores a file, replacing the last one as one step. @throws Error also when other bytes came than were announced */
    put(file: FileBytes): Promise<void>;
    /**
     * Stores a file that a record names. If the last backup has a record of the image, beside another such
     * file, no restore finds the new one before `put` of the record, or without that record.
     *
     * @throws as `put`
     */
    putForRecord(file: FileBytes): Promise<void>;
    /** Takes back a file that was kept or stored for a record which is not put; the last backup keeps its own. */
    discard(path: string): Promise<void>;
    /** Sees to it that this backup has no such file any more. */
    remove(path: string): Promise<void>;
    /** Makes this backup the last one: it is complete. @param files what it has */
    commit(files: Files): Promise<void>;
    /** Ends a run that is not complete; what was stored may help the next one. Never rejects. */
    abandon(files: Files): Promise<void>;
}
