import { ApiError, imageUuidAlreadyExists } from '../../base/errors.js';
import { inClaimedPlaces } from '../../images/claimed-places.js';
import { deleteAll, noteFiles } from '../../images/delete-image.js';
import { type Draft, storeChange, withoutKeys } from '../../images/change-image.js';
import type { ImageServices } from '../../images/context.js';
import { forgetAside } from '../../images/recover-uploads.js';
import { ownContext } from '../../images/own-context.js';
import { meansAbsent } from '../../maintenance/record-exists.js';
import { isActivated } from '../../manifest/state.js';
import type { RawImage } from '../../manifest/types.js';
import type { JobEnd, JobEndStep, JobRun } from '../job-kind.js';
import { whileUnavailable } from '../../images/while-unavailable.js';
import { importParams, isOurs, originsOf, type ImportParams } from './import-params.js';

/** Seconds that each part of the clean-up may take: after a failure, and after a cancellation (jobs-and-imports 3.6). */
const ERROR_TIMEOUT = 60;
const CANCEL_TIMEOUT = 10;

/** What became of an image that a job gives up. */
type Removal = 'deleted' | 'absent' | 'not ours' | 'in use';

const OUTCOMES: Readonly<Partial<Record<string, Removal>>> = {
    ImageUuidAlreadyExists: 'not ours',
    ImageHasDependentImages: 'in use',
};

function mayChange(run: JobRun, params: ImportParams): (raw: RawImage) => void {
    return (raw) => {
        if (!isOurs(run, params, raw)) {
            throw imageUuidAlreadyExists(raw.uuid);
        }
    };
}

/** Does something to an image this job has made; what others have made, or use, stays (jobs-and-imports 9.8). */
async function unlessKept(run: JobRun, uuid: string, work: () => Promise<unknown>): Promise<Removal> {
    try {
        await whileUnavailable(run.signal, work);
        return 'deleted';
    } catch (error) {
        const outcome = error instanceof ApiError ? OUTCOMES[error.code] : undefined;
        if (outcome === undefined && !meansAbsent(error, uuid)) {
            throw error;
        }
        return outcome ?? 'absent';
    }
}

/** Deletes an image with its files, see {@link unlessKept}. */
function removeImage(services: ImageServices, run: JobRun, uuid: string): Promise<Removal> {
    const params = importParams(run);
    const context = ownContext({ requestId: params.requestId, log: run.log, signal: run.signal });
    const mayGo = mayChange(run, params);
    return unlessKept(run, uuid, () =>
        services.imageQueue.run(uuid, () => deleteAll(services, context, uuid, mayGo)),
    );
}

/** The record says why there is no image; what files it has go (jobs-and-imports 8.2). */
function failImage(services: ImageServices, run: JobRun, { error }: JobEnd): Promise<Removal> {
    const params = importParams(run);
    const { uuid } = params;
    const code = error.code ?? error.restCode ?? error.name;
    const requireChangeable = mayChange(run, params);
    const change = (raw: RawImage): Draft => {
        requireChangeable(raw);
        if (isActivated(raw)) {
            throw imageUuidAlreadyExists(uuid);
        }
        return { ...withoutKeys(raw, 'files'), state: 'failed', error: { code, message: error.message } };
    };
    const options = { log: run.log, failure: `could not modify image ${uuid}` };
    return unlessKept(run, uuid, () =>
        services.imageQueue.run(uuid, () =>
            inClaimedPlaces(services, [uuid], options, async (cleanup) => {
                const { raw } = await services.database.get(uuid);
                requireChangeable(raw);
                await noteFiles(services, raw, cleanup);
                await storeChange(services, uuid, change);
                await forgetAside(services, uuid, run.log);
            }),
        ),
    );
}

const IMAGE_RESULTS: Readonly<Record<Removal, string>> = {
    deleted: 'deleted',
    absent: 'did not exist to be deleted',
    'not ours': 'was not created by this job',
    'in use': 'is in use and stays',
};

async function endImage(services: ImageServices, run: JobRun, end: JobEnd): Promise<string> {
    const { uuid, hasPlaceholder } = importParams(run);
    if (!hasPlaceholder && !run.created.includes(uuid)) {
        return `Image ${uuid} ${IMAGE_RESULTS['not ours']}`;
    }
    if (hasPlaceholder && end.execution === 'failed') {
        const outcome = await failImage(services, run, end);
        return `Image ${uuid} ${outcome === 'deleted' ? 'updated with import error' : IMAGE_RESULTS[outcome]}`;
    }
    return `Image ${uuid} ${IMAGE_RESULTS[await removeImage(services, run, uuid)]}`;
}

async function endOrigins(services: ImageServices, run: JobRun): Promise<string> {
    const origins = originsOf(run).filter((uuid) => run.created.includes(uuid));
    for (const uuid of origins.toReversed()) {
        const outcome = await removeImage(services, run, uuid);
        run.log.info({ uuid, outcome }, 'origin of an import that is given up');
    }
    return origins.length === 0 ? 'No origin images to delete' : 'Origin images have been deleted';
}

function removals(services: ImageServices, timeout: number): readonly JobEndStep[] {
    return [
        { name: 'delete_image', timeout, run: (run, end) => endImage(services, run, end) },
        { name: 'origin_delete_images', timeout, run: (run) => endOrigins(services, run) },
    ];
}

/** What follows a failed import: only what the job has made goes, the newest first (jobs-and-imports 3.6, 9.8). */
export function importOnError(services: ImageServices): readonly JobEndStep[] {
    return [
        ...removals(services, ERROR_TIMEOUT),
        {
            name: 'On error',
            timeout: CANCEL_TIMEOUT,
            run: () => Promise.reject(new Error('Error executing job')),
        },
    ];
}

/** What follows when somebody has canceled an import. */
export function importOnCancel(services: ImageServices): readonly JobEndStep[] {
    return removals(services, CANCEL_TIMEOUT);
}
