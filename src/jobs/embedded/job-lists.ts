import { ApiError } from '../../base/errors.js';
import { EXECUTIONS, isTerminal, jobAccount } from '../job.js';
import type { JobFilter, NewJob } from '../job-engine.js';
import { byAge, type JobRecord } from './job-record.js';

/** Refuses to look for a state that no job has (jobs-and-imports 2.3). @throws 409 */
export function requireExecution(execution: string | undefined): void {
    if (execution !== undefined && !EXECUTIONS.some((one) => one === execution)) {
        throw new ApiError(
            'ConflictError',
            'Execution must be one of queued, failed, succeeded, canceled or running',
        );
    }
}

function matches(record: JobRecord, filter: JobFilter): boolean {
    const { execution, task, image_uuid, vm_uuid, account } = filter;
    return (
        (execution === undefined || record.execution === execution) &&
        (task === undefined || record.task === task) &&
        (image_uuid === undefined || record.image_uuid === image_uuid) &&
        (vm_uuid === undefined || record.params['vm_uuid'] === vm_uuid) &&
        (account === undefined || jobAccount(record) === account)
    );
}

function newestFirst(records: readonly JobRecord[]): readonly JobRecord[] {
    return [...records].sort((a, b) => byAge(b, a));
}

/** The jobs that match, newest first. */
export function matching(records: readonly JobRecord[], filter: JobFilter): readonly JobRecord[] {
    return newestFirst(records.filter((record) => matches(record, filter)));
}

/** The jobs that make an image or, with `asOrigin`, one that is based on it; newest first. */
export function about(
    records: readonly JobRecord[],
    imageUuid: string,
    asOrigin: boolean,
): readonly JobRecord[] {
    const isOrigin = ({ params: { origins } }: JobRecord): boolean =>
        Array.isArray(origins) && origins.includes(imageUuid);
    return newestFirst(
        records.filter((record) => record.image_uuid === imageUuid || (asOrigin && isOrigin(record))),
    );
}

/** Whether a job keeps others from its target. */
export function holdsTarget({ task, target, execution }: JobRecord, wish: NewJob): boolean {
    return task === wish.task && target === wish.target && !isTerminal(execution);
}
