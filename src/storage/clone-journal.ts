/** An image that a clone is making. */
export interface PendingClone {
    readonly uuid: string;
    /** Name of the storage its file is copied in. */
    readonly stor: string;
}

/** The images one request makes, the one without a cloned origin first, the one asked for last. */
export interface CloneIntent {
    readonly clones: readonly PendingClone[];
}

/** A {@link CloneIntent} that is on stable storage. */
export interface NotedClones extends CloneIntent {
    /** The clones are all there, or as far gone as they can be: forgets them, durably. */
    drop(): Promise<void>;
    /**
     * They could be neither finished nor rolled back for certain: leaves them to
     * {@link CloneJournal.abandoned}, of whichever process runs that.
     *
     * @throws the file system's error; then this process, or the next one, finds them
     */
    release(): Promise<void>;
}

/**
 * Remembers the images that a clone of a chain is making, so that a crash leaves neither half a chain
 * nor bytes without a record for ever (jobs-and-imports 4).
 */
export interface CloneJournal {
    /** Notes the images before the first one is made. */
    note(clones: readonly PendingClone[]): Promise<NotedClones>;
    /** What nobody is working on any more. */
    abandoned(): Promise<readonly NotedClones[]>;
}
