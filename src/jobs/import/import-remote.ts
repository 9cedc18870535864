import { isUsableState } from '../../manifest/state.js';
import { imageUuidAlreadyExists, operatorOnly, validationFailed } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import type { RequestContext } from '../../images/context.js';
import { findImage } from '../../images/load.js';
import { sourceManifest } from '../../images/source-manifest.js';
import { requireSource } from '../../images/source-parameter.js';
import type { StartedJob } from '../job-engine.js';
import type { JobServices } from '../services.js';
import { startImport } from './start-import.js';

/** What is asked for; the parameters as they were given. */
export interface RemoteImport {
    readonly source: string | undefined;
    /** Reads `skip_owner_check` when its turn comes; may throw 422. */
    readonly skipOwnerCheck: () => boolean;
}

/**
 * An image that a job is just importing counts as absent: whoever asks for the same again is told of that job
 * (jobs-and-imports 9.6).
 *
 * @throws 409 `ImageUuidAlreadyExists`
 */
async function requireAbsent(
    { images, engine }: JobServices,
    { signal }: RequestContext,
    uuid: string,
): Promise<void> {
    if ((await findImage(images, uuid)) === undefined) {
        return;
    }
    const jobs = await engine.active(uuid, signal);
    if (!jobs.some(({ task }) => task === 'import-remote-image')) {
        throw imageUuidAlreadyExists(uuid);
    }
}

/**
 * AdminImportRemoteImage: starts a job that copies an image, with those of its origins that are not here,
 * from another image server (jobs-and-imports 3.4). Requests for one image take turns.
 *
 * @throws 403 `OperatorOnly`, 409 `ImageUuidAlreadyExists`, 422, 500, 503; see the table there
 */
export async function importRemote(
    services: JobServices,
    context: RequestContext,
    uuid: string,
    request: RemoteImport,
): Promise<StartedJob> {
    const { images, engine, turns } = services;
    if (request.source === undefined) {
        throw validationFailed('missing source parameter', [{ field: 'source', code: 'MissingParameter' }]);
    }
    if (context.account !== undefined) {
        throw operatorOnly();
    }
    const address = requireSource(images, context, request.source);
    const skipOwnerCheck = request.skipOwnerCheck();
    await requireAbsent(services, context, uuid);
    engine.requireAvailable();
    const manifest = await sourceManifest(images, context, uuid, address);
    if (!isUsableState(manifest['state'])) {
        throw validationFailed(`Cannot import image ${uuid} - image is not active.`, [
            { field: 'state', code: 'Invalid' },
        ]);
    }
    return turns.run(uuid, async () => {
        context.signal.throwIfAborted();
        // It may have come while the source was asked.
        await requireAbsent(services, context, uuid);
        return startImport(services, context, {
            uuid,
            manifest,
            address,
            skipOwnerCheck,
            jobUuid: newUuid(),
        });
    });
}
