import type { ImageServices, RequestContext } from '../../images/context.js';
import { sourceRecord } from '../../images/import-from-source.js';
import { buildOptions } from '../../images/new-record.js';
import { asPlaceholder } from '../../manifest/build.js';
import type { RawImage } from '../../manifest/types.js';
import { removePlaceholder } from '../../images/delete-unfinished.js';
import { startImport, type ImportWish } from '../import/start-import.js';
import type { StartedJob } from '../job-engine.js';
import type { JobServices } from '../services.js';

/** The remote manifest as a record without files (jobs-and-imports 8.2). @throws 422, 503 */
async function placeholderRecord(
    services: ImageServices,
    context: RequestContext,
    { jobUuid, ...wish }: ImportWish,
): Promise<RawImage> {
    const raw = await sourceRecord(services, context, wish.manifest, { ...wish, importId: jobUuid });
    return asPlaceholder(raw, buildOptions(services));
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
            await removePlaceholder(images, context, placeholder);
        }
        return started;
    } catch (error) {
        await removePlaceholder(images, context, placeholder);
        throw error;
    }
}
