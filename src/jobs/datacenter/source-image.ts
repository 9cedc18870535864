import { MAX_ORIGIN_DEPTH } from '../../base/constants.js';
import {
    ApiError,
    originChainTooLong,
    RelayedError,
    resourceNotFound,
    validationFailed,
} from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { RequestContext } from '../../images/context.js';
import { findImage } from '../../images/load.js';
import { failsAsRemote } from '../../images/remote-failure.js';
import { isObject } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import type { ImageSource } from '../../remotes/image-source.js';
import { originOf } from '../import/origin-chain.js';
import type { JobServices } from '../services.js';

/** An account's image in another datacenter. */
export interface WantedImage {
    readonly uuid: string;
    readonly account: string;
    readonly source: ImageSource;
}

/** A header that tells when to ask again is passed on with the answer. */
function relayedHeaders({ headers }: OutgoingError): Readonly<Record<string, string>> {
    const retryAfter = headers['retry-after'];
    return typeof retryAfter === 'string' ? { 'Retry-After': retryAfter } : {};
}

/**
 * A rejection handler for requests to another datacenter: what it refuses is refused with its own words
 * (jobs-and-imports 3.5 #5, #9).
 *
 * @param what as for {@link failsAsRemote}, which names all other failures
 */
function relays(what: string): (error: unknown) => never {
    const fail = failsAsRemote(what);
    return (error) => {
        if (error instanceof OutgoingError && error.status !== undefined && isObject(error.body)) {
            const { status, body } = error;
            const answer = { status, body, headers: relayedHeaders(error), cause: error };
            throw new RelayedError('RemoteSourceError', `${what}: status ${status}`, answer);
        }
        return fail(error);
    };
}

/** GetImage for the account. @throws the datacenter's own error; 503 `RemoteSourceError` */
async function describe(
    { requestId, signal }: RequestContext,
    { account, source }: WantedImage,
    uuid: string,
    kind: 'image' | 'origin image',
): Promise<JsonObject> {
    return source
        .manifest(uuid, { account, requestId, signal })
        .catch(relays(`Unable to get manifest for ${kind} ${uuid}`));
}

/** 422 for an image that cannot be copied between datacenters as it is (jobs-and-imports 3.5 #6, 8.5). */
export function requireActive(uuid: string, state: unknown): void {
    if (state !== 'active') {
        throw validationFailed(`Cannot import image ${uuid} - image is not active.`, [
            { field: 'state', code: 'Invalid' },
        ]);
    }
}

/**
 * Describes the image that an account wants to have copied (jobs-and-imports 3.5 #5-#7).
 *
 * @throws the datacenter's own error; 422 `ValidationFailed` unless it is active; 401 `UnauthorizedError`
 * unless it is the account's; 503 `RemoteSourceError`
 */
export async function describeOwnImage(context: RequestContext, wanted: WantedImage): Promise<JsonObject> {
    const { uuid, account } = wanted;
    const manifest = await describe(context, wanted, uuid, 'image');
    requireActive(uuid, manifest['state']);
    if (manifest['owner'] !== account) {
        throw new ApiError('UnauthorizedError', `Cannot import image ${uuid} - you are not the owner.`);
    }
    return manifest;
}

/**
 * The origins that belong to the same account, nearest first; the first that does not must be here, in
 * whatever state, since its owner did not ask for a copy (jobs-and-imports 3.5 #9).
 *
 * @throws the datacenter's own error; 404; 500 for more than 100 or a circle; 503 `RemoteSourceError`
 */
export async function ownOrigins(
    { images }: JobServices,
    context: RequestContext,
    wanted: WantedImage,
    image: JsonObject,
): Promise<readonly string[]> {
    const own = new Set<string>();
    for (let uuid = originOf(image); uuid !== undefined;) {
        if (uuid === wanted.uuid || own.has(uuid)) {
            throw originChainTooLong();
        }
        const manifest = await describe(context, wanted, uuid, 'origin image');
        if (manifest['owner'] !== wanted.account) {
            if ((await findImage(images, uuid)) === undefined) {
                throw resourceNotFound(
                    `Unable to import - origin image ${uuid} must already exist in the datacenter (as this image is not owned by you).`,
                );
            }
            break;
        }
        if (own.size === MAX_ORIGIN_DEPTH) {
            throw originChainTooLong();
        }
        own.add(uuid);
        uuid = originOf(manifest);
    }
    return [...own];
}
