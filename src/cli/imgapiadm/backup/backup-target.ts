import type { FileBytes, Files } from './backup-files.js';

/** Where a backup goes (operations 3.2). All paths are below the base directory, with `/` between names. */
export interface BackupTarget {
    /** For people. */
    readonly where: string;
    /**
     * Gets ready, and tells what the last backup has; nothing of it has been changed by then.
     *
     * @throws Error when no backup may be made there
     */
    open(): Promise<Files>;
    /** Whether the last backup has these bytes. */
    hasBytes(file: FileBytes): Promise<boolean>;
    /** Takes over a file of the last backup. */
    keep(path: string): Promise<void>;
    /** Stores a file, replacing the last one as one step. @throws Error also when other bytes came than were announced */
    put(file: FileBytes): Promise<void>;
    /** Sees to it that this backup has no such file any more. */
    remove(path: string): Promise<void>;
    /** Makes this backup the last one: it is complete. @param files what it has */
    commit(files: Files): Promise<void>;
    /** Ends a run that is not complete; what was stored may help the next one. Never rejects. */
    abandon(files: Files): Promise<void>;
}
