import { type ApiError, resourceNotFound } from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { accountMayAccess } from '../manifest/visibility.js';
import { findImage } from '../images/load.js';
import { enginesOf } from './engines.js';
import { jobAccount, type JobDocument, type JobView } from './job.js';
import type { JobEngine } from './job-engine.js';
import type { JobServices } from './services.js';

/** Who asks for a job. */
export interface JobCaller {
    /** Absent: an operator, or somebody who has been told the job's uuid. */
    readonly account?: string;
    readonly signal: AbortSignal;
}

/** A job and who runs it. */
export interface FoundJob extends JobView {
    readonly engine: JobEngine;
}

/** 404 for a job there is not, or not for this caller. */
export function jobNotFound(uuid: string): ApiError {
    return resourceNotFound(`Job with uuid '${uuid}' does not exist`);
}

async function lookUp(
    services: JobServices,
    uuid: string,
    signal: AbortSignal,
): Promise<FoundJob | undefined> {
    for (const engine of enginesOf(services)) {
        const view = await engine.find(uuid, signal);
        if (view !== undefined) {
            return { ...view, engine };
        }
    }
    return undefined;
}

/**
 * Finds a job; an account finds its own only (jobs-and-imports 9.5).
 *
 * @throws 404 `Job with uuid '<u>' does not exist`, 503
 */
export async function findJob(services: JobServices, uuid: string, caller: JobCaller): Promise<FoundJob> {
    const { account, signal } = caller;
    const found = isUuid(uuid) ? await lookUp(services, uuid, signal) : undefined;
    if (found === undefined || (account !== undefined && jobAccount(found.document) !== account)) {
        throw jobNotFound(uuid);
    }
    return found;
}

/** The order of lists: newest first. */
export function byAge(a: JobDocument, b: JobDocument): number {
    return (b.created_at ?? '').localeCompare(a.created_at ?? '');
}

async function mayFollow(
    services: JobServices,
    imageUuid: string,
    document: JobDocument,
    account: string,
): Promise<boolean> {
    if (jobAccount(document) === account) {
        return true;
    }
    const image = await findImage(services.images, imageUuid);
    return image !== undefined && accountMayAccess(image.raw, account);
}

/**
 * Finds the newest job that imports, copies or creates an image, or has it among its origins; the image need
 * not exist. An account finds its own, and those of images that it sees (jobs-and-imports 8.3).
 *
 * @throws 404 `no job found for image <u>`, 503
 */
export async function findImageJob(
    services: JobServices,
    imageUuid: string,
    { account, signal }: JobCaller,
): Promise<FoundJob> {
    const candidates = await Promise.all(
        enginesOf(services).map(async (engine) => engine.newest(imageUuid, signal)),
    );
    const [newest] = candidates.filter((one) => one !== undefined).sort(byAge);
    if (
        newest !== undefined &&
        (account === undefined || (await mayFollow(services, imageUuid, newest, account)))
    ) {
        const found = await lookUp(services, newest.uuid, signal);
        if (found !== undefined) {
            return found;
        }
    }
    throw resourceNotFound(`no job found for image ${imageUuid}`);
}
