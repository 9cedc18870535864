import type { ImageServices, RequestContext } from '../../images/context.js';
import { inSelectedChannel } from '../../images/create-image.js';
import { withLocalOwner } from '../../images/import-image.js';
import { manifestRules } from '../../images/rules.js';
import { asPlaceholder, buildImage } from '../../manifest/build.js';
import { withImportId } from '../../manifest/import-id.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import { upgradeManifest } from '../../manifest/upgrade.js';
import type { StartedJob } from '../job-engine.js';
import type { JobServices } from '../services.js';
import { deleteUnfinished } from './leftovers.js';

/** How long the removal of a placeholder that nobody needs may take, milliseconds. */
const REMOVAL_LIMIT_MS = 30_000;

/** What a placeholder stands for. */
export interface PlaceholderFor {
    readonly uuid: string;
    /** The image at its source. */
    readonly manifest: JsonObject;
    readonly skipOwnerCheck: boolean;
    /** Uuid of the job that will fill it: its mark. */
    readonly jobUuid: string;
}

/** The remote manifest as a record without files (jobs-and-imports 8.2). @throws 422, 503 */
async function placeholderRecord(
    services: ImageServices,
    context: RequestContext,
    { manifest, skipOwnerCheck, jobUuid }: PlaceholderFor,
): Promise<RawImage> {
    const config = services.config.current;
    const owned = await withLocalOwner(services, upgradeManifest(manifest), skipOwnerCheck);
    const options = {
        rules: manifestRules(config),
        lifespanDays: config.placeholderImageLifespanDays,
        now: services.clock.now(),
    };
    const raw = buildImage('import', inSelectedChannel(services, context, owned), options);
    return asPlaceholder({ ...raw, x_imgapi: withImportId(raw.x_imgapi, jobUuid) }, options);
}

/** Removes a placeholder whose job never came; what cannot be removed now goes when it expires. */
async function removePlaceholder(
    services: JobServices,
    context: RequestContext,
    placeholder: RawImage,
): Promise<void> {
    const { uuid } = placeholder;
    // The client may be gone already, which is no reason to leave it behind.
    const undone = { ...context, signal: AbortSignal.timeout(REMOVAL_LIMIT_MS) };
    try {
        await deleteUnfinished(services, undone, uuid, placeholder);
    } catch (error) {
        context.log.warn({ err: error, uuid }, 'the placeholder of a copy could not be removed');
    }
}

/**
 * Stores a record that stands for an image, then creates the job that makes it; without a job of its own
 * the record goes again (jobs-and-imports 8.2).
 *
 * @throws 409 `ImageUuidAlreadyExists`, 422, 500, 503, and what `start` throws
 */
export async function withPlaceholder(
    services: JobServices,
    context: RequestContext,
    wanted: PlaceholderFor,
    start: () => Promise<StartedJob>,
): Promise<StartedJob> {
    const { images } = services;
    const placeholder = await placeholderRecord(images, context, wanted);
    await images.imageQueue.run(wanted.uuid, async () => {
        await images.archive.write(placeholder);
        await images.database.create(placeholder);
    });
    try {
        const started = await start();
        if (started.attached) {
            await removePlaceholder(services, context, placeholder);
        }
        return started;
    } catch (error) {
        await removePlaceholder(services, context, placeholder);
        throw error;
    }
}
