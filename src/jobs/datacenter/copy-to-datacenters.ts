import type { Config } from '../../base/config-types.js';
import { RelayedError, validationFailed } from '../../base/errors.js';
import { merge } from '../../base/merge.js';
import type { RequestContext } from '../../images/context.js';
import type { RawImage } from '../../manifest/types.js';
import type { CopyToMake, TargetCall } from '../../remotes/copy-target.js';
import type { JobServices } from '../services.js';
import { askDestinations, type CopyAttempt, type CopyRefusal, type Destination } from './copy-attempt.js';
import { datacenterAddress, otherDatacenters } from './datacenters.js';
import { type CopyLine, followCopy, type Following } from './follow-copy.js';
import { requireActive } from './source-image.js';
import { requireAccount } from './wanted-copy.js';

/** What is asked for; the parameters as they were given. */
export interface CopyOutRequest {
    /** Names joined by commas, or `all`. */
    readonly datacenters: string | undefined;
    /** Reads `sync` when its turn comes; may throw 422. */
    readonly sync: () => boolean;
}

/** What came of one datacenter, as it is answered. */
export type CopyResult =
    | {
          readonly datacenter: string;
          readonly result: string;
          readonly job_uuid: string;
          readonly workflow_api?: string;
          readonly changed?: readonly string[];
      }
    | { readonly datacenter: string; readonly result: 'failed'; readonly error: CopyRefusal };

/** The answer about all of them (jobs-and-imports 8.5). */
export interface CopyResults {
    readonly image_uuid: string;
    readonly results: readonly CopyResult[];
}

function noOthers(): never {
    throw validationFailed('no other datacenters are configured', [
        { field: 'datacenters', code: 'Invalid' },
    ]);
}

/** @throws 422 `ValidationFailed` (jobs-and-imports 8.5) */
function destinationsOf(config: Config, datacenters: string | undefined): readonly Destination[] {
    if (datacenters === undefined) {
        throw validationFailed('missing datacenters parameter', [
            { field: 'datacenters', code: 'MissingParameter' },
        ]);
    }
    const others = otherDatacenters(config);
    if (datacenters === 'all' && others.length === 0) {
        noOthers();
    }
    const names = datacenters === 'all' ? others : new Set(datacenters.split(','));
    return [...names].map((datacenter) => ({ datacenter, address: datacenterAddress(config, datacenter) }));
}

/** The copies that are wanted, checked. */
interface CopiesToMake {
    readonly destinations: readonly Destination[];
    readonly copy: Omit<CopyToMake, 'stream'>;
}

/** @throws 422 `ValidationFailed` */
function copiesToMake(
    { config }: JobServices,
    { account }: RequestContext,
    { uuid, state }: RawImage,
    request: CopyOutRequest,
): CopiesToMake {
    const { current } = config;
    const known = requireAccount(account);
    requireActive(uuid, state);
    const destinations = destinationsOf(current, request.datacenters);
    const sync = request.sync();
    // A server without a name is nobody's source.
    const datacenter = current.datacenterName ?? noOthers();
    return { destinations, copy: { uuid, account: known, datacenter, sync } };
}

function resultOf(attempt: CopyAttempt): CopyResult {
    const { datacenter, accepted } = attempt;
    if (accepted === undefined) {
        return { datacenter, result: 'failed', error: attempt.refusal };
    }
    const { result, jobUuid, workflowApi, changed } = accepted;
    return {
        datacenter,
        result,
        job_uuid: jobUuid,
        ...(workflowApi === undefined ? {} : { workflow_api: workflowApi }),
        ...(changed.length === 0 ? {} : { changed }),
    };
}

/** @throws 503 `RemoteSourceError` with the results when no datacenter makes a copy (jobs-and-imports 8.5) */
function requireOneAccepted(uuid: string, attempts: readonly CopyAttempt[]): void {
    if (attempts.every(({ accepted }) => accepted === undefined)) {
        const message = `Unable to copy image ${uuid}: no datacenter has accepted it`;
        const body = { code: 'RemoteSourceError', message, results: attempts.map(resultOf) };
        throw new RelayedError('RemoteSourceError', message, { status: 503, body });
    }
}

/**
 * CopyImageToDatacenters: asks other datacenters to copy an image from here (jobs-and-imports 8.5).
 *
 * @throws 422 `ValidationFailed`, 503 `RemoteSourceError` when none of them does
 */
export async function copyToDatacenters(
    services: JobServices,
    context: RequestContext,
    image: RawImage,
    request: CopyOutRequest,
): Promise<CopyResults> {
    const { destinations, copy } = copiesToMake(services, context, image, request);
    const attempts = await Promise.all(
        askDestinations(services, destinations, { ...copy, stream: false }, context),
    );
    requireOneAccepted(image.uuid, attempts);
    return { image_uuid: image.uuid, results: attempts.map(resultOf) };
}

/** Copies on their way, and what is told of them. */
export interface FollowedCopies {
    /** @param signal closes what other servers still tell; the copies go on */
    lines(signal: AbortSignal): AsyncIterable<CopyLine>;
}

/** Waits until a datacenter has accepted, or all have answered. @returns whether one has accepted */
async function isAccepted(asked: readonly Promise<CopyAttempt>[]): Promise<boolean> {
    const accepted = asked.map(async (one) => {
        if ((await one).accepted === undefined) {
            throw new Error('refused');
        }
        return true;
    });
    return Promise.any(accepted).catch(() => false);
}

/**
 * As {@link copyToDatacenters}, and tells how all of the copies go until each is at its end.
 *
 * @throws 422 `ValidationFailed`, 503 `RemoteSourceError` when none of them makes a copy
 */
export async function followCopiesToDatacenters(
    services: JobServices,
    context: RequestContext,
    image: RawImage,
    request: CopyOutRequest,
): Promise<FollowedCopies> {
    const { destinations, copy } = copiesToMake(services, context, image, request);
    const stop = new AbortController();
    const call: TargetCall = {
        requestId: context.requestId,
        signal: AbortSignal.any([context.signal, stop.signal]),
    };
    const streamed: CopyToMake = { ...copy, stream: true };
    const asked = askDestinations(services, destinations, streamed, call);
    if (!(await isAccepted(asked))) {
        requireOneAccepted(image.uuid, await Promise.all(asked));
    }
    const following: Following = { services, context, copy: streamed, call };
    return {
        lines: (signal) => {
            signal.addEventListener('abort', () => stop.abort(signal.reason), { once: true });
            return merge(asked.map((one) => followCopy(following, one)));
        },
    };
}
