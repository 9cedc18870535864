import {
    type ApiError,
    imageUuidAlreadyExists,
    resourceNotFound,
    validationFailed,
} from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import type { StoredImage } from '../../database/database.js';
import type { RequestContext } from '../../images/context.js';
import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import { startImport } from '../import/start-import.js';
import type { JobServices } from '../services.js';
import { type CopyState, copyState } from './copy-state.js';
import { copyAction, type CopyMode } from './copy-table.js';
import { datacenterAddress } from './datacenters.js';
import { makeRoom } from './leftovers.js';
import { startWithPlaceholder } from './placeholder.js';
import { recopy, recordRecopy } from './recopy.js';
import { describeOwnImage, ownOrigins } from './source-image.js';
import { requireAccount, type WantedCopy } from './wanted-copy.js';

/** How a copy is wanted (jobs-and-imports 8.2). */
export interface CopyWish {
    readonly mode: CopyMode;
    /** Whether a record stands for the image while it is copied. */
    readonly placeholder: boolean;
}

/** What is asked for; the parameters as they were given. */
export interface CopyRequest {
    readonly datacenter: string | undefined;
    /** Reads the rest when its turn comes; may throw 422. */
    readonly wish: () => CopyWish;
}

/** What came of it. */
export interface CopyOutcome {
    readonly imageUuid: string;
    readonly jobUuid: string;
    readonly result: 'started' | 'attached' | 'updated' | 'unchanged' | 'current';
    /** Fields that were changed here. */
    readonly changed: readonly string[];
    /** Whether the job is one of this server's own files, whatever engine new jobs go to. */
    readonly local: boolean;
    /** Whether the caller knows nothing of results. */
    readonly oldForm: boolean;
}

/** A copy that has passed the checks that concern the source. */
interface CheckedCopy {
    readonly copy: WantedCopy;
    readonly manifest: JsonObject;
    readonly wish: CopyWish;
}

/** @throws 422 `ValidationFailed` (jobs-and-imports 3.5 #1-#4) */
function wantedCopy(
    { config }: JobServices,
    { account }: RequestContext,
    uuid: string,
    datacenter: string | undefined,
): WantedCopy {
    const known = requireAccount(account);
    if (datacenter === undefined) {
        throw validationFailed('missing datacenter parameter', [
            { field: 'datacenter', code: 'MissingParameter' },
        ]);
    }
    return { uuid, account: known, datacenter, address: datacenterAddress(config.current, datacenter) };
}

/** A copy that failed, to somebody who only wants to know. */
function failedBefore({ raw: { uuid, error } }: StoredImage): ApiError {
    const message = isObject(error) && typeof error['message'] === 'string' ? error['message'] : 'unknown';
    return validationFailed(`copy of image ${uuid} failed: ${message}`, [
        { field: 'state', code: 'Invalid' },
    ]);
}

/**
 * Starts the job; what stands in its way goes first, once nothing but the job can fail.
 *
 * @throws as {@link importFromDatacenter}
 */
async function start(
    services: JobServices,
    context: RequestContext,
    { copy, manifest, wish }: CheckedCopy,
    inTheWay: StoredImage | undefined,
): Promise<Pick<CopyOutcome, 'jobUuid' | 'result'>> {
    const { uuid, account, datacenter, address } = copy;
    const source = services.images.sources.at(address);
    const origins = await ownOrigins(services, context, { uuid, account, source }, manifest);
    services.engine.requireAvailable();
    if (wish.mode === 'sync' || inTheWay !== undefined) {
        await makeRoom(services, context, {
            origins,
            ...(inTheWay === undefined ? {} : { stored: inTheWay }),
        });
    }
    const importing = {
        uuid,
        manifest,
        address,
        account,
        datacenter,
        sourceAccount: account,
        skipOwnerCheck: false,
        jobUuid: newUuid(),
    };
    const startJob = wish.placeholder ? startWithPlaceholder : startImport;
    const { uuid: jobUuid, attached } = await startJob(services, context, importing);
    return { jobUuid, result: attached ? 'attached' : 'started' };
}

/** The job that tells of an image which is here: the one that made it, or one kept for the purpose. */
async function currentJob(
    services: JobServices,
    context: RequestContext,
    copy: WantedCopy,
): Promise<Pick<CopyOutcome, 'jobUuid' | 'local'>> {
    const newest = await services.local.newest(copy.uuid, context.signal);
    if (newest?.image_uuid === copy.uuid && newest.execution === 'succeeded') {
        return { jobUuid: newest.uuid, local: true };
    }
    services.local.requireKeeper();
    return { jobUuid: await recordRecopy(services, context, copy), local: true };
}

/** Does what the table of states says (jobs-and-imports 8.2). */
async function act(
    services: JobServices,
    context: RequestContext,
    checked: CheckedCopy,
    { record, stored, job }: CopyState,
): Promise<Pick<CopyOutcome, 'jobUuid' | 'result'> & Partial<CopyOutcome>> {
    const { copy, manifest, wish } = checked;
    switch (copyAction(record, job !== undefined, wish.mode)) {
        case 'start':
            return start(services, context, checked, undefined);
        case 'restart':
            return start(services, context, checked, stored);
        case 'update': {
            const { jobUuid, changed } = await recopy(services, context, copy, manifest);
            return { jobUuid, changed, local: true, result: changed.length === 0 ? 'unchanged' : 'updated' };
        }
        case 'current':
            return { ...(await currentJob(services, context, copy)), result: 'current' };
        case 'attach':
            if (job !== undefined) {
                return { jobUuid: job, result: 'attached' };
            }
            break;
        case 'failed':
            if (stored !== undefined) {
                throw failedBefore(stored);
            }
            break;
        case 'absent':
            throw resourceNotFound(`no copy of image ${copy.uuid} is running`);
        case 'exists':
            break;
    }
    throw imageUuidAlreadyExists(copy.uuid);
}

/**
 * ImportImageFromDatacenter: copies an account's image from another datacenter, with those of its origins
 * that are not here, by a job; or follows the copy there is (jobs-and-imports 3.5, 8.2). Requests for one
 * image take turns, so that only one of them starts a job.
 *
 * @throws the other datacenter's own error; 401 `UnauthorizedError`, 404, 409 `ImageUuidAlreadyExists`,
 * 422, 500, 503
 */
export async function importFromDatacenter(
    services: JobServices,
    context: RequestContext,
    uuid: string,
    request: CopyRequest,
): Promise<CopyOutcome> {
    const copy = wantedCopy(services, context, uuid, request.datacenter);
    const { account, address } = copy;
    const wish = request.wish();
    const source = services.images.sources.at(address);
    const manifest = await describeOwnImage(context, { uuid, account, source });
    const done = await services.turns.run(uuid, async () => {
        context.signal.throwIfAborted();
        const state = await copyState(services, context, copy);
        return act(services, context, { copy, manifest, wish }, state);
    });
    return { changed: [], local: false, ...done, imageUuid: uuid, oldForm: wish.mode === 'plain' };
}
