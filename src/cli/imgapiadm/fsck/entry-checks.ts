import type { StrayEntry } from '../records/stored-records.js';
import type { Check, Finding } from './check.js';

/** Checks of what lies where records are, and is none. */
export const ENTRY_CHECKS: Readonly<Record<StrayEntry['kind'], Check>> = {
    unparsable: {
        name: 'unparsable',
        severity: 'error',
        finds: 'a record that is cut short or is no JSON',
        fix: 'makes it again of the archived manifest and the files, as "imgapiadm repair --from-archive" does',
        shown: { only: 'that there are such records, and how many, as "unchecked"' },
    },
    foreign: {
        name: 'foreign',
        severity: 'warn',
        finds: 'something else than <uuid>.raw in manifests/',
        shown: 'nothing',
    },
    unfinished: {
        name: 'unfinished',
        severity: 'info',
        finds: 'a temporary file of a record that was being written',
        fix: 'removes it, as the next start of a server does',
        shown: 'nothing',
    },
};

/** A uuid that was asked for, and has no record. */
export const ABSENT: Check = {
    name: 'absent',
    severity: 'error',
    finds: 'an image that was named, and has no record',
};

/** What is said when a check could not be made. */
export const UNCHECKED: Check = {
    name: 'unchecked',
    severity: 'warn',
    finds: 'something that could not be looked at: the user database or a storage does not answer; with --url, records that the server leaves out',
};

/** The place where records are kept. */
export const STRUCTURE: Check = {
    name: 'structure',
    severity: 'error',
    finds: 'on Moray: index columns that are missing (warn) or of another type',
    shown: 'nothing',
};

/** What is found out by an entry that is no record. @param fixable default: as the check says */
export function strayFinding(
    { kind, file, uuid, reason }: StrayEntry,
    fixable = ENTRY_CHECKS[kind].fix !== undefined,
): Finding {
    const { name, severity } = ENTRY_CHECKS[kind];
    return {
        check: name,
        severity,
        message: reason,
        file,
        ...(uuid === undefined ? {} : { uuid }),
        advice: kind === 'unparsable' && uuid !== undefined ? [restoreLine(uuid)] : [],
        fixable,
    };
}

/** The command that makes a record again of its archived manifest (operations 2.4). */
export function restoreLine(uuid: string): string {
    return `imgapiadm repair --from-archive ${uuid}`;
}
