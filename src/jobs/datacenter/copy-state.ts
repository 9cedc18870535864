import { serviceUnavailable } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import type { RequestContext } from '../../images/context.js';
import { importIdOf } from '../../manifest/import-id.js';
import { findImage } from '../../images/load.js';
import { ownerHere } from '../../images/owner-check.js';
import { isActivated } from '../../manifest/state.js';
import type { RawImage } from '../../manifest/types.js';
import type { JobDocument } from '../job.js';
import type { JobEngine } from '../job-engine.js';
import type { JobServices } from '../services.js';
import type { LocalRecord } from './copy-table.js';
import type { WantedCopy } from './wanted-copy.js';

/** What is here of a wanted copy. */
export interface CopyState {
    readonly record: LocalRecord;
    /** The record itself; absent: there is none. */
    readonly stored?: StoredImage;
    /** Uuid of the job that makes this very copy; absent: none does. */
    readonly job?: string;
}

/** How long a copy that has failed may take to clean up behind itself, milliseconds. */
const CLEANUP_LIMIT_MS = 10_000;

/** Whether a job makes this copy: of the same image from the same datacenter, for the same account. */
function makesCopy({ params = {}, ...job }: JobDocument, { uuid, account, datacenter }: WantedCopy): boolean {
    return (
        (job.task ?? params['task']) === 'import-remote-image' &&
        (job.image_uuid ?? params['image_uuid']) === uuid &&
        params['account'] === account &&
        params['datacenter'] === datacenter
    );
}

/** Whether a record was made by a job that works no more, and never finished. */
export function isLeft(raw: RawImage, jobs: readonly JobDocument[]): boolean {
    const importId = importIdOf(raw);
    return (
        importId !== undefined &&
        !isActivated(raw) &&
        jobs.every(({ uuid, params }) => uuid !== importId && params?.['import_id'] !== importId)
    );
}

function recordKind(raw: RawImage, owner: string, jobs: readonly JobDocument[]): LocalRecord {
    if (raw.owner !== owner) {
        return 'foreign';
    }
    if (isActivated(raw)) {
        return 'activated';
    }
    if (raw.state === 'failed') {
        return importIdOf(raw) === undefined ? 'failed' : 'failedCopy';
    }
    return isLeft(raw, jobs) ? 'left' : 'unfinished';
}

/** Waits for the end of a job that has failed but for its clean-up. @throws 503 when that takes too long */
async function untilEnded(engine: JobEngine, uuid: string, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.timeout(CLEANUP_LIMIT_MS);
    const either = AbortSignal.any([signal, limit]);
    const isActive = async (): Promise<boolean> => {
        const job = await engine.find(uuid, either);
        return job?.document.execution === 'running' || job?.document.execution === 'queued';
    };
    try {
        while (await isActive()) {
            await engine.nextChange(uuid, either);
        }
    } catch (error) {
        if (!limit.aborted || signal.aborted) {
            throw error;
        }
        throw serviceUnavailable('the failed copy is still being cleaned up', 1, error);
    }
}

/**
 * Finds out what there is of a copy: the record first, so that the job which makes it is seen if it is
 * still at work. A failed copy whose job cleans up is waited for: nobody should be told to follow that one.
 *
 * @throws 503
 */
export async function copyState(
    services: JobServices,
    { signal }: RequestContext,
    copy: WantedCopy,
): Promise<CopyState> {
    const { engine, images } = services;
    const owner = ownerHere(services, copy.account);
    const stored = await findImage(images, copy.uuid);
    if (stored !== undefined && (stored.raw.owner !== owner || isActivated(stored.raw))) {
        return { record: recordKind(stored.raw, owner, []), stored };
    }
    const jobs = await engine.active(copy.uuid, signal);
    const job = jobs.find((one) => makesCopy(one, copy))?.uuid;
    if (stored === undefined) {
        const record = jobs.some(({ uuid }) => uuid !== job) ? 'taken' : 'none';
        return { record, ...(job === undefined ? {} : { job }) };
    }
    const record = recordKind(stored.raw, owner, jobs);
    if (job === undefined) {
        return { record, stored };
    }
    if (record === 'failed' || record === 'failedCopy') {
        await untilEnded(engine, job, signal);
        return { record, stored };
    }
    return { record, stored, job };
}
