/** Something that is not as it should be: a block of the report (operations 3.2). */
export interface Fault {
    /** What is wrong. */
    readonly state: string;
    /** How to see it for oneself. */
    readonly cmd: string;
    /** What was seen. */
    readonly info: string;
    /** What to do, or where it is told. */
    readonly see: string;
}

/** What one look has found. */
export interface CheckResult {
    /** Empty: all is well. */
    readonly faults: readonly Fault[];
    /** What to tell those who want to know everything. */
    readonly facts?: string;
}

/** One thing that is looked at. */
export interface StatusCheck {
    readonly name: string;
    /** Ends in time. What it throws is a fault, too. */
    readonly run: () => Promise<CheckResult>;
}

/** Nothing is wrong. */
export function fine(facts?: string): CheckResult {
    return { faults: [], ...(facts === undefined ? {} : { facts }) };
}

/** One thing is wrong. */
export function faulty(state: string, cmd: string, info: string, see: string): CheckResult {
    return { faults: [{ state, cmd, info, see }] };
}
