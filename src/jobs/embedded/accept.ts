import type { Clock } from '../../base/clock.js';
import { newUuid } from '../../base/uuid.js';
import type { NewJob } from '../job-engine.js';
import type { JobKind } from '../job-kind.js';
import type { DoneJob } from '../services.js';
import { finished } from './job-changes.js';
import { queuedRecord, stepFacts, type JobRecord } from './job-record.js';
import { jobLimit } from './job-runner.js';
import { noProgress } from './progress.js';

/** When a job is accepted. */
export interface Acceptance {
    readonly clock: Clock;
    /** Higher than that of every job before. */
    readonly number: number;
}

function moment(clock: Clock): string {
    return new Date(clock.now()).toISOString();
}

/** The record of a job that is to be done. */
export function acceptedRecord(kind: JobKind, job: NewJob, { clock, number }: Acceptance): JobRecord {
    const { params } = job;
    const hidden = job.hidden ?? {};
    const chain = kind.chain.map(({ name, timeout }) =>
        stepFacts(name, typeof timeout === 'number' ? timeout : timeout({ params, hidden, memory: {} })),
    );
    const now = moment(clock);
    return queuedRecord({
        uuid: job.uuid,
        name: kind.name,
        version: kind.version,
        task: job.task,
        target: job.target,
        params,
        imageUuid: job.imageUuid,
        hidden,
        timeout: jobLimit(kind, chain),
        chain,
        onerror: kind.onError.map(({ name, timeout }) => stepFacts(name, timeout)),
        oncancel: kind.onCancel.map(({ name, timeout }) => stepFacts(name, timeout)),
        progress: noProgress(now),
        numbers: { ended: {}, parts: {} },
        number,
        now,
    });
}

/** The record of a job that is done already. */
export function doneRecord(job: DoneJob, { clock, number }: Acceptance): JobRecord {
    const now = moment(clock);
    const [first] = job.results;
    const started_at = first?.started_at ?? now;
    const progress = { ...noProgress(now), images_done: 1, images_total: 1, started_at };
    const record = queuedRecord({
        uuid: newUuid(),
        name: job.name,
        version: job.version,
        task: job.task,
        target: job.target,
        params: job.params,
        imageUuid: job.imageUuid,
        hidden: {},
        timeout: 0,
        chain: job.results.map(({ name }) => stepFacts(name, 0)),
        onerror: [],
        oncancel: [],
        progress,
        numbers: { ended: { [job.imageUuid]: 0 }, parts: {} },
        number,
        now,
    });
    const started = Date.parse(started_at);
    return finished({ ...record, chain_results: job.results, started }, clock.now());
}
