import { JobInterrupted, type JobKind } from '../job-kind.js';
import { isTerminal, type StepResult } from '../job.js';
import { finished, restarted, stepsOver, waitsAgain, workFailed } from './job-changes.js';
import { byAge, type JobRecord } from './job-record.js';
import { progressError } from './progress.js';
import { stepError } from './step-error.js';

/** How a job that an earlier process has left is to go on. */
export interface ResumeOptions {
    /** `undefined`: there are no such jobs here any more. */
    readonly kind: JobKind | undefined;
    readonly maxRestarts: number;
    /** Milliseconds since the epoch. */
    readonly now: number;
}

/** Whether the steps are those that the job was made of. */
function hasSameSteps(record: JobRecord, kind: JobKind): boolean {
    const names = (steps: readonly { readonly name: string }[]): string =>
        steps.map(({ name }) => name).join();
    return (
        names(record.chain) === names(kind.chain) &&
        names(record.onerror) === names(kind.onError) &&
        names(record.oncancel) === names(kind.onCancel)
    );
}

/** Its work is given up, what follows is the clean-up. */
function interrupted(record: JobRecord, now: number): JobRecord {
    const error = stepError(new JobInterrupted());
    const at = new Date(now).toISOString();
    const step = record.chain[stepsOver(record)] ?? record.chain.at(-1);
    const result: StepResult = {
        result: '',
        error,
        name: step?.name ?? record.name,
        started_at: at,
        finished_at: at,
    };
    const failed = workFailed(record, result, error);
    return waitsAgain({ ...failed, progress: { ...failed.progress, error: progressError(error) } });
}

/** Whether a process ended without a word while it ran the job. */
function wasRunning({ execution, runner_id }: JobRecord): boolean {
    return execution === 'running' || (isTerminal(execution) && runner_id !== null);
}

/**
 * What becomes of a job at the start of a process (jobs-and-imports 9.3). The clean-up of a job is begun
 * again as often as its work; then it is left as it is.
 */
export function resumed(record: JobRecord, { kind, maxRestarts, now }: ResumeOptions): JobRecord {
    const { phase } = record.own;
    if (phase === 'done') {
        return record;
    }
    if (kind === undefined) {
        return finished(interrupted(record, now), now);
    }
    const isWork = phase === 'chain';
    if (!hasSameSteps(record, kind)) {
        return isWork ? interrupted(record, now) : finished(record, now);
    }
    if (!wasRunning(record)) {
        return record;
    }
    const limit = isWork ? maxRestarts : 2 * maxRestarts + 1;
    if (record.restarts < limit) {
        return restarted(record);
    }
    return isWork ? interrupted(record, now) : finished(record, now);
}

/** The order in which jobs are run that an earlier process has left: those that have begun come first. */
export function inResumeOrder(records: readonly JobRecord[]): readonly JobRecord[] {
    const hasBegun = ({ started, own }: JobRecord): boolean => started !== null || own.phase !== 'chain';
    const inOrder = records.filter(({ own }) => own.phase !== 'done').sort(byAge);
    return [...inOrder.filter(hasBegun), ...inOrder.filter((record) => !hasBegun(record))];
}
