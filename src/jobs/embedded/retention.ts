import type { JobsConfig } from '../../base/config-types.js';
import type { JobRecord } from './job-record.js';

const DAY_MS = 86_400_000;

/** The jobs that are over and to be forgotten: too old, or too many newer ones (jobs-and-imports 9.1). */
export function tooOld(
    records: readonly JobRecord[],
    { retentionDays, retentionCount }: Pick<JobsConfig, 'retentionDays' | 'retentionCount'>,
    now: number,
): readonly JobRecord[] {
    const endedAt = ({ own }: JobRecord): number => Date.parse(own.ended_at ?? '');
    return records
        .filter(({ own }) => own.phase === 'done')
        .sort((a, b) => endedAt(b) - endedAt(a))
        .filter((record, index) => index >= retentionCount || now - endedAt(record) > retentionDays * DAY_MS);
}
