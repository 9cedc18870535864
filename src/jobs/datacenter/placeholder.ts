import type { ImageServices, RequestContext } from '../../images/context.js';
import { sourceRecord } from '../../images/import-from-source.js';
import { manifestRules } from '../../images/rules.js';
import { asPlaceholder } from '../../manifest/build.js';
import type { RawImage } from '../../manifest/types.js';
import { startImport, type ImportWish } from '../import/start-import.js';
import type { StartedJob } from '../job-engine.js';
import type { JobServices } from '../services.js';
import { deleteUnfinished } from './leftovers.js';

/** How long the removal of a placeholder that nobody needs may take, milliseconds. */
const REMOVAL_LIMIT_MS = 30_000;

/** The remote manifest as a record without files (jobs-and-imports 8.2). @throws 422, 503 */
async function placeholderRecord(
    services: ImageServices,
    context: RequestContext,
    { jobUuid, ...wish }: ImportWish,
): Promise<RawImage> {
    const { current } = services.config;
    const raw = await sourceRecord(services, context, wish.manifest, { ...wish, importId: jobUuid });
    return asPlaceholder(raw, {
        rules: manifestRules(current),
        lifespanDays: current.placeholderImageLifespanDays,
        now: services.clock.now(),
    });
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
 * Stores a record that stands for an image, then starts the job that makes it; without a job of its own
 * the record goes again (jobs-and-imports 8.2).
 *
 * @throws 409 `ImageUuidAlreadyExists`, 422, 500, 503
 */
export async function startWithPlaceholder(
    services: JobServices,
    context: RequestContext,
    wish: ImportWish,
): Promise<StartedJob> {
    const { images } = services;
    const placeholder = await placeholderRecord(images, context, wish);
    await images.imageQueue.run(wish.uuid, async () => {
        await images.archive.write(placeholder);
        await images.database.create(placeholder);
    });
    try {
        const started = await startImport(services, context, { ...wish, placeholder: true });
        if (started.attached) {
            await removePlaceholder(services, context, placeholder);
        }
        return started;
    } catch (error) {
        await removePlaceholder(services, context, placeholder);
        throw error;
    }
}
