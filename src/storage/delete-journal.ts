/** A file that is to go. */
export interface PendingDelete {
    readonly stor: string;
    /** A final name such as `file0`, or a temporary one. */
    readonly name: string;
}

/** A journal entry that is on stable storage. */
export interface JournalEntry {
    /**
     * The change the entry was for has ended, well or not: deletes what no current record names, then
     * drops the entry. Never rejects.
     */
    finish(): Promise<void>;
    /** The files are gone or wanted after all: forgets the entry, deletes nothing. Never rejects. */
    drop(): Promise<void>;
    /** The files cannot be deleted now: leaves them to the next pass. */
    leave(): void;
    /**
     * Nobody knows whether the change will still be made: keeps the files for ten minutes, whatever the
     * record says meanwhile. Never rejects.
     */
    postpone(): Promise<void>;
}

/** Remembers files to delete across a crash (backends W5). */
export interface DeleteJournal {
    /**
     * Notes files of an image before its record changes.
     *
     * @param notBefore leave the entry alone until then, milliseconds since the epoch, unless the process
     * that noted it has ended
     */
    note(uuid: string, files: readonly PendingDelete[], notBefore?: number): Promise<JournalEntry>;
    /**
     * Retries every entry that is due; resolves to the number left.
     *
     * @param signal ends the pass after the entry at hand
     */
    pass(signal?: AbortSignal): Promise<number>;
}
