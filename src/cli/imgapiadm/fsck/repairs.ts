import type { Archive } from '../../../archive/archive.js';
import type { RawImage } from '../../../manifest/types.js';
import { validateRaw } from '../../../manifest/validate.js';
import { failureText } from '../failure-text.js';
import { archiveAgain } from '../records/archive-again.js';
import { ChangedMeanwhile, type Data, type StoredRecords } from '../records/stored-records.js';
import { CHANNELS, withDefaultChannel } from './channel-check.js';
import type { Finding, Place, RecordCheck, Subject } from './check.js';
import { ENTRY_CHECKS } from './entry-checks.js';
import { RECORD_CHECKS } from './record-checks.js';
import { judge } from './survey.js';

/** Tries when somebody else changes the record at the same time. */
const MAX_TRIES = 3;

/** What became of a finding that can be repaired. */
export type Repaired = { readonly result: 'fixed' } | { readonly result: 'failed'; readonly reason: string };

/** What {@link repairAll} works with. */
export interface RepairOptions {
    readonly records: StoredRecords;
    readonly archive: Archive;
    readonly place: Place;
    /** Checks that may change something. */
    readonly fixes: 'safe' | 'channel' | 'both';
    /** Deletes an expired placeholder; tells whether it did. */
    readonly purge: (uuid: string) => Promise<boolean>;
    /** Makes a record again of its archived manifest. */
    readonly restore: (uuid: string) => Promise<Repaired>;
    /** Whether a temporary file of a record is still there. */
    readonly isThere: (file: string) => Promise<boolean>;
    readonly signal: AbortSignal;
    /** Told of each finding that was dealt with. */
    readonly onDone: (finding: Finding, repaired: Repaired) => void;
}

const FIXED: Repaired = { result: 'fixed' };

function failed(reason: string): Repaired {
    return { result: 'failed', reason };
}

/** A repair that did not come to pass, in the operator's words. */
class NotRepaired extends Error {}

type Apply = (current: Data, subject: Subject) => Data | undefined | Promise<Data | undefined>;

/** What changes a record because of a check; `undefined`: nothing may. */
function repairOf(check: RecordCheck, { fixes, place }: RepairOptions): Apply | 'delete' | undefined {
    if (check === CHANNELS) {
        const { channels } = place;
        return fixes === 'safe' || channels === undefined
            ? undefined
            : (current) => withDefaultChannel(current, channels);
    }
    return fixes === 'channel' ? undefined : check.repair;
}

/** The record as it should be. @throws NotRepaired, or ApiError when it would still be invalid */
async function repaired(subject: Subject, options: RepairOptions): Promise<RawImage> {
    let next: Data = subject.record.current;
    for (const check of RECORD_CHECKS) {
        const repair = repairOf(check, options);
        const isNeeded = check.look(subject).some(({ final }) => final !== true);
        if (isNeeded && repair !== undefined && repair !== 'delete') {
            const changed = await repair(next, subject);
            if (changed === undefined && check !== CHANNELS) {
                throw new NotRepaired(`${check.name}: there is nothing to take it from`);
            }
            next = changed ?? next;
        }
    }
    return validateRaw({ ...next }, options.place.rules, 'lenient');
}

/** @throws NotRepaired, or what the database and the archive throw */
async function repairRecord(uuid: string, options: RepairOptions): Promise<void> {
    const { records, archive, place } = options;
    for (let tries = 1; ; tries += 1) {
        const before = await records.find(uuid);
        if (before?.kind !== 'record') {
            throw new NotRepaired('it is not there any more');
        }
        const next = await repaired(judge(before, place), options);
        await archive.write(next);
        try {
            await records.put(next, before);
            return;
        } catch (error) {
            if (!(error instanceof ChangedMeanwhile) || tries === MAX_TRIES) {
                await archiveAgain(uuid, { records, archive });
                throw error;
            }
        }
    }
}

async function repairImage(
    uuid: string,
    findings: readonly Finding[],
    options: RepairOptions,
): Promise<Repaired> {
    try {
        if (findings.some(({ check }) => check === ENTRY_CHECKS.unparsable.name)) {
            return await options.restore(uuid);
        }
        if (findings.some(({ check }) => check === 'expired')) {
            return (await options.purge(uuid))
                ? FIXED
                : failed('it is no expired placeholder any more, or a job is making an image of it');
        }
        await repairRecord(uuid, options);
        return FIXED;
    } catch (error) {
        return failed(failureText(error));
    }
}

/**
 * Repairs what can be repaired without a decision: all of a record in one change, its archived manifest first
 * (backends 10). What fails is told of and keeps nothing else from being repaired.
 */
export async function repairAll(findings: readonly Finding[], options: RepairOptions): Promise<void> {
    const { onDone, isThere, signal } = options;
    const groups = new Map<string, Finding[]>();
    for (const finding of findings.filter(({ fixable }) => fixable)) {
        if (finding.check === ENTRY_CHECKS.unfinished.name) {
            const isLeft = await isThere(finding.file ?? '');
            onDone(finding, isLeft ? failed('it is still there') : FIXED);
        } else {
            const uuid = finding.uuid ?? '';
            groups.set(uuid, [...(groups.get(uuid) ?? []), finding]);
        }
    }
    for (const [uuid, group] of groups) {
        if (signal.aborted) {
            return;
        }
        const outcome = await repairImage(uuid, group, options);
        group.forEach((finding) => onDone(finding, outcome));
    }
}
