import { ApiError } from '../../base/errors.js';
import { isTerminal, type StepError, type StepResult } from '../job.js';
import type { JobEnd } from '../job-kind.js';
import type { JobPhase, JobRecord } from './job-record.js';

/** The list of results that belongs to a phase. */
const RESULTS = {
    chain: 'chain_results',
    onerror: 'onerror_results',
    oncancel: 'oncancel_results',
} as const satisfies Record<Exclude<JobPhase, 'done'>, keyof JobRecord>;

/** What a job is told of by its cancellation. */
export const CANCELED: StepError = { name: 'CanceledError', message: 'canceled', code: 'Canceled' };

/** How many steps of the phase at hand are over. */
export function stepsOver(record: JobRecord): number {
    const { phase } = record.own;
    return phase === 'done' ? 0 : record[RESULTS[phase]].length;
}

function elapsed(record: JobRecord, now: number): number {
    return record.started === null ? 0 : (now - record.started) / 1000;
}

/** It gets a slot. */
export function began(record: JobRecord, now: number, runner: string): JobRecord {
    const { execution } = record;
    return {
        ...record,
        execution: isTerminal(execution) ? execution : 'running',
        started: record.started ?? now,
        runner_id: runner,
    };
}

/** The step at hand begins. */
export function stepBegan(record: JobRecord): JobRecord {
    return { ...record, own: { ...record.own, begun: true } };
}

/** A step of a phase is over, and the next one is at hand. A job that is in another phase by now stays as it is. */
export function stepEnded(
    record: JobRecord,
    phase: Exclude<JobPhase, 'done'>,
    result: StepResult,
): JobRecord {
    if (record.own.phase !== phase) {
        return record;
    }
    const key = RESULTS[phase];
    return { ...record, [key]: [...record[key], result], own: { ...record.own, begun: false } };
}

/** The work has failed: what is left to do is the clean-up. */
export function workFailed(record: JobRecord, result: StepResult, error: StepError): JobRecord {
    if (record.own.phase !== 'chain') {
        return record;
    }
    const end: JobEnd = { execution: 'failed', error };
    const ended = stepEnded(record, 'chain', result);
    return { ...ended, own: { ...ended.own, phase: 'onerror', end } };
}

/**
 * It was canceled: at once for everybody, though its clean-up is still to be done.
 *
 * @param started_at when the step at hand began, ISO date
 * @throws 409 `ConflictError` for a job that is over
 */
export function canceled(record: JobRecord, now: number, started_at: string): JobRecord {
    if (isTerminal(record.execution)) {
        throw new ApiError('ConflictError', 'Finished jobs cannot be canceled');
    }
    const end: JobEnd = { execution: 'canceled', error: CANCELED };
    const step = record.chain[record.chain_results.length] ?? record.chain.at(-1);
    const result: StepResult = {
        result: '',
        error: 'canceled',
        name: step?.name ?? record.name,
        started_at,
        finished_at: new Date(now).toISOString(),
    };
    // A job whose work has failed already has the result that tells so.
    const chain_results =
        record.own.phase === 'chain' ? [...record.chain_results, result] : record.chain_results;
    return {
        ...record,
        execution: 'canceled',
        chain_results,
        elapsed: elapsed(record, now),
        own: { ...record.own, phase: 'oncancel', begun: false, end },
    };
}

/** Nothing is left to do. */
export function finished(record: JobRecord, now: number): JobRecord {
    const { end } = record.own;
    return {
        ...record,
        execution: end?.execution ?? 'succeeded',
        elapsed: isTerminal(record.execution) ? record.elapsed : elapsed(record, now),
        runner_id: null,
        own: {
            ...record.own,
            phase: 'done',
            begun: false,
            locks: [],
            ended_at: new Date(now).toISOString(),
        },
    };
}

/** Nobody runs it any more: it waits for its turn again, the step at hand included. */
export function waitsAgain(record: JobRecord): JobRecord {
    const { execution } = record;
    return { ...record, execution: isTerminal(execution) ? execution : 'queued', runner_id: null };
}

/** A process that ran it has ended without a word (jobs-and-imports 9.3). */
export function restarted(record: JobRecord): JobRecord {
    return { ...waitsAgain(record), restarts: record.restarts + 1 };
}

/** It keeps others from an image, until it is done. */
export function locked(record: JobRecord, imageUuid: string): JobRecord {
    const { locks } = record.own;
    return locks.includes(imageUuid)
        ? record
        : { ...record, own: { ...record.own, locks: [...locks, imageUuid] } };
}
