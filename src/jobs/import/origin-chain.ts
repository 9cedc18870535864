import { MAX_ORIGIN_DEPTH } from '../../base/constants.js';
import { originChainTooLong, originIsNotActive, validationFailed } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import type { RequestContext } from '../../images/context.js';
import { findImage } from '../../images/load.js';
import { failsAsRemote } from '../../images/remote-failure.js';
import { isUsableState } from '../../manifest/state.js';
import type { JsonObject } from '../../manifest/types.js';
import type { ImageSource } from '../../remotes/image-source.js';
import type { JobServices } from '../services.js';

/** An origin that is not here yet, as the source describes it. */
export interface RemoteOrigin {
    readonly uuid: string;
    readonly manifest: JsonObject;
}

/** Where to look for the origins of an image. */
export interface ChainInput {
    /** The image itself. */
    readonly uuid: string;
    /** Its manifest at the source. */
    readonly manifest: JsonObject;
    readonly source: ImageSource;
    /** The account the source is asked for; absent: as an operator. */
    readonly account?: string;
}

/** The origin a manifest names. @throws 422 `ValidationFailed` for what is no uuid: it must not get into a path */
export function originOf(manifest: JsonObject): string | undefined {
    const { origin } = manifest;
    if (!origin) {
        return undefined;
    }
    if (!isUuid(origin)) {
        throw validationFailed('invalid image data: origin', [{ field: 'origin', code: 'Invalid' }]);
    }
    return origin;
}

/**
 * Whether an origin is here, or will be: one that a job is making counts as missing, so that the new job
 * waits for that one and finds it there, or makes it if the other fails (jobs-and-imports 9.6).
 *
 * @throws 422 `OriginIsNotActive`
 */
async function isHere(
    { images, engine }: JobServices,
    { signal }: RequestContext,
    uuid: string,
): Promise<boolean> {
    const found = await findImage(images, uuid);
    if (found === undefined || isUsableState(found.raw.state)) {
        return found !== undefined;
    }
    const jobs = await engine.active(uuid, signal, true);
    if (jobs.length === 0) {
        throw originIsNotActive(uuid);
    }
    return false;
}

/**
 * The origins of an image that have to be copied with it, base first (jobs-and-imports 3.4): up to the
 * first that is here.
 *
 * @throws 422 `OriginIsNotActive`, 500 for more than 100 or a circle, 503 `RemoteSourceError`
 */
export async function missingOrigins(
    services: JobServices,
    context: RequestContext,
    input: ChainInput,
): Promise<readonly RemoteOrigin[]> {
    const { source, account } = input;
    const { requestId, signal } = context;
    const request = { requestId, signal, ...(account === undefined ? {} : { account }) };
    const origins = new Map<string, RemoteOrigin>();
    let uuid = originOf(input.manifest);
    while (uuid !== undefined) {
        if (uuid === input.uuid || origins.has(uuid)) {
            throw originChainTooLong();
        }
        if (await isHere(services, context, uuid)) {
            break;
        }
        if (origins.size === MAX_ORIGIN_DEPTH) {
            throw originChainTooLong();
        }
        const manifest = await source
            .manifest(uuid, request)
            .catch(failsAsRemote(`Unable to get manifest for origin image ${uuid}`));
        if (!isUsableState(manifest['state'])) {
            throw originIsNotActive(uuid);
        }
        origins.set(uuid, { uuid, manifest });
        uuid = originOf(manifest);
    }
    return [...origins.values()].reverse();
}
