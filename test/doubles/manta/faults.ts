import {
    CallRules,
    type CallLimits as Limits,
    type CallMatch as Match,
    type Fate as AnyFate,
} from '../call-rules.js';

/** What a call is. */
export type CallKind = 'put' | 'link' | 'mkdir' | 'delete' | 'get' | 'head' | 'list' | 'other';

export type CallMatch = Match<CallKind>;
export type CallLimits = Limits<CallKind>;

/** An error that is answered instead of what was asked for. */
export interface Refusal {
    readonly status: number;
    readonly code: string;
    readonly message: string;
}

/** What goes wrong with a call. Several at once are fine. */
export interface Fault {
    /** Answers with an error and does nothing. */
    readonly refuse?: 500 | 503 | 507 | Refusal;
    /** Takes the request and says nothing. */
    readonly hang?: boolean;
    /** Reads or sends bodies no faster than this. */
    readonly bytesPerSecond?: number;
    /** Cuts the connection after so many bytes of a body. */
    readonly cutAfter?: number;
    /** Cuts the connection instead of answering, with the change made or not. */
    readonly cutAnswer?: 'made' | 'not-made';
    /** Answers a put with another MD5 than that of the bytes. */
    readonly wrongMd5?: boolean;
    /** Tells or sends other bytes than were stored: the MD5, or the first byte. */
    readonly corrupt?: 'bytes' | 'md5';
    /** Never says that a body may come. */
    readonly noContinue?: boolean;
}

export type Fate = AnyFate<Fault>;

/** What a test has told the double to do wrong. */
export class Faults extends CallRules<CallKind, Fault> {}
