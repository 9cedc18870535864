import type { Channel } from '../../../base/config-types.js';
import type { ErrorEntry } from '../../../base/errors.js';
import type { ManifestRules, RawImage } from '../../../manifest/types.js';
import type { Data, ReadRecord } from '../records/stored-records.js';

/** How bad a finding is: `info` alone is no reason for alarm. */
export type Severity = 'error' | 'warn' | 'info';

/** A row in the tables of checks (operations 2.5). */
export interface Check {
    readonly name: string;
    /** The worst of its findings. */
    readonly severity: Severity;
    /** What it looks for. */
    readonly finds: string;
    /** What `--fix-safe` does about it; absent: nothing. */
    readonly fix?: string;
    /** How much of it the API of a server shows: nothing, or no more than this; absent: all. */
    readonly shown?: 'nothing' | { readonly only: string };
}

/** What repairs a record; may wait for a look at its files. */
export type Repair = (current: Data, subject: Subject) => Data | undefined | Promise<Data | undefined>;

/** What a check says of a record. */
export interface Complaint {
    readonly message: string;
    /** Default: that of the check. */
    readonly severity?: Severity;
    /** What the operator could do about it, command lines if possible. */
    readonly advice?: readonly string[];
    /** Not to be repaired although others of the check are. */
    readonly final?: boolean;
}

/** A record that is looked at. */
export interface Subject {
    readonly record: ReadRecord;
    /** What the server makes of it; `undefined`: it cannot use it. */
    readonly raw: RawImage | undefined;
    /** What the rules of the server find wrong. */
    readonly entries: readonly ErrorEntry[];
    readonly place: Place;
}

/** What a server is like, as far as records depend on it. */
export interface Place {
    readonly rules: ManifestRules;
    readonly channels: readonly (Pick<Channel, 'name'> & Partial<Channel>)[] | undefined;
    /** Milliseconds since the epoch. */
    readonly now: number;
    /** Storages that are set up; `undefined`: nobody can tell. */
    readonly storages: readonly string[] | undefined;
    /** Whether images have no owner but the one that stands for nobody. */
    readonly ownerless: boolean;
    /** When a file of an image was last changed, as an ISO date; `undefined`: there is none here. */
    readonly fileTime: (uuid: string, name: string) => Promise<string | undefined>;
    /** The tool that operators of such a server use. */
    readonly tool: string;
}

/** A check of one record. */
export interface RecordCheck extends Check {
    /** What the rules say that this check says better. */
    readonly covers?: (entry: ErrorEntry) => boolean;
    readonly look: (subject: Subject) => readonly Complaint[];
    /** Only with `fix`: the record as it should be; `undefined`: it cannot tell. */
    readonly repair?: Repair | 'delete';
}

/** Something that was found. */
export interface Finding {
    readonly check: string;
    readonly severity: Severity;
    readonly message: string;
    readonly uuid?: string;
    /** In `manifests/`, where it is not about the record of an image. */
    readonly file?: string;
    readonly image?: { readonly name: string; readonly version: string };
    readonly advice: readonly string[];
    /** Whether `--fix-safe` does something about it. */
    readonly fixable: boolean;
}
