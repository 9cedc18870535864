/** How long and how much the user database is asked (README table D, jobs-and-imports 10). */
export interface UfdsLimits {
    /** All of one question: connecting, binding, searching and a second try, milliseconds. */
    readonly callMs: number;
    /** Without a question for that long the connection is given up, milliseconds. */
    readonly idleMs: number;
    /** After a failure nobody connects for that long; twice as long after each further one, milliseconds. */
    readonly firstPauseMs: number;
    /** Longest such pause, milliseconds. */
    readonly longestPauseMs: number;
    /** Found accounts are believed for that long, milliseconds. */
    readonly foundMs: number;
    /** Found accounts that are remembered. */
    readonly maxFound: number;
    /** Accounts that are asked for at the same time. */
    readonly maxLookups: number;
}

/** What a server uses. */
export const UFDS_LIMITS: UfdsLimits = {
    callMs: 15_000,
    idleMs: 90_000,
    firstPauseMs: 100,
    longestPauseMs: 30_000,
    foundMs: 60_000,
    maxFound: 1000,
    maxLookups: 100,
};
