import type { RawImage } from '../../../manifest/types.js';

/** A JSON object of which nothing is known. */
export type Data = Readonly<Record<string, unknown>>;

/** A record as it is stored, before any rule is applied to it. */
export interface StoredRecord {
    readonly kind: 'record';
    /** Of the image by the name of the file or the key of the row; what it says itself may differ. */
    readonly uuid: string;
    readonly data: Data;
    /** As it was read; where the database keeps no text, what it would be as a file. */
    readonly text: string;
    /** The same in the form of today, unless it is beyond recognition; not validated. */
    readonly current: Data;
}

/** The same as far as it says what the record is, wherever that was read. */
export type ReadRecord = Omit<StoredRecord, 'text'>;

/** What lies where records are, and is none. */
export interface StrayEntry {
    /**
     * - `unparsable`: a record by its name, but not by what is in it;
     * - `unfinished`: what a server was writing when it ended;
     * - `foreign`: nothing of a server.
     */
    readonly kind: 'unparsable' | 'unfinished' | 'foreign';
    readonly file: string;
    /** Of the image whose record it should be. */
    readonly uuid?: string;
    readonly reason: string;
}

/** Whatever is found where records are kept. */
export type StoredEntry = StoredRecord | StrayEntry;

/** Somebody else changed a record after it was read. */
export class ChangedMeanwhile extends Error {
    override readonly name = 'ChangedMeanwhile';

    constructor() {
        super('the record was changed by somebody else meanwhile');
    }
}

/**
 * The records of a server as they are stored, usable or not: for those who look after them. The servers
 * themselves see usable ones only, through their database.
 */
export interface StoredRecords {
    /**
     * Everything there is, in order of names.
     *
     * @throws the database's error; the signal's reason when aborted
     */
    entries(signal: AbortSignal): AsyncIterable<StoredEntry>;
    /** One record, or what is in its place; `undefined`: nothing. */
    find(uuid: string): Promise<StoredEntry | undefined>;
    /**
     * Stores a valid record, durably, in the place of what was read there; `undefined`: of nothing. What was
     * no usable record is kept in quarantine, where records are files.
     *
     * @throws ChangedMeanwhile; ApiError when it cannot be stored
     */
    put(raw: RawImage, before: StoredEntry | undefined): Promise<void>;
    /** What is wrong with the place where they are kept. */
    structureProblems(): Promise<readonly StructureProblem[]>;
    close(): Promise<void>;
}

/** What is wrong with the place where records are kept. */
export interface StructureProblem {
    readonly severity: 'error' | 'warn';
    readonly message: string;
}
