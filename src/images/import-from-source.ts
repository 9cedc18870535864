import { imageUuidAlreadyExists } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { deepFreeze } from '../manifest/freeze.js';
import { importIdOf, withImportId } from '../manifest/import-id.js';
import type { Provenance } from '../manifest/provenance.js';
import type { JsonObject, RawImage } from '../manifest/types.js';
import { upgradeManifest } from '../manifest/upgrade.js';
import type { SourceAddress } from '../remotes/image-source.js';
import type { ImageServices, RequestContext } from './context.js';
import { savesAs } from './failures.js';
import { replacePlaceholder, requirePlaceholder, withLocalOwner } from './import-image.js';
import { withCleanup } from './image-task.js';
import { findImage } from './load.js';
import { newRecord } from './new-record.js';
import { sourceManifest } from './source-manifest.js';

/** Where an image is imported from, and how. */
export interface SourceImport {
    readonly address: SourceAddress;
    readonly skipOwnerCheck: boolean;
    /** Marks the record until its activation; a placeholder with the same mark is replaced. */
    readonly importId?: string;
    /** The source's name in the configuration: then it is a copy between datacenters. */
    readonly datacenter?: string;
    /** As the source answers it, if it has been read already. */
    readonly manifest?: JsonObject;
}

const SAVE_FAILURE = 'could not create local image';

/** Where the image came from (jobs-and-imports 8.6). */
function provenance(
    { uuid, owner }: JsonObject,
    { address, datacenter }: SourceImport,
    now: number,
): Provenance {
    return {
        kind: datacenter === undefined ? 'import' : 'copy',
        source_image: uuid as string,
        ...(typeof owner === 'string' ? { source_owner: owner } : {}),
        ...(datacenter === undefined ? { source_url: address.shownUrl } : { source_datacenter: datacenter }),
        at: new Date(now).toISOString(),
    };
}

/** The record a manifest of a source makes (jobs-and-imports 3.1, 3.2). @throws 422, 503 */
export async function sourceRecord(
    services: ImageServices,
    context: RequestContext,
    manifest: JsonObject,
    options: SourceImport,
): Promise<RawImage> {
    const upgraded = upgradeManifest(manifest);
    const owned = await withLocalOwner(services, upgraded, options.skipOwnerCheck);
    const raw = newRecord(services, context, 'import', owned);
    const own: JsonObject = { provenance: { ...provenance(upgraded, options, services.clock.now()) } };
    const { importId } = options;
    return deepFreeze({ ...raw, x_imgapi: importId === undefined ? own : withImportId(own, importId) });
}

/**
 * AdminImportImage from another image server: a new image, without its files, by the manifest that server
 * has; or in the place of a placeholder with the same mark (jobs-and-imports 3.2 #3-#6). Its origin need
 * not be here. Asked again by the same import, it is done already (9.4).
 *
 * @throws 409 `ImageUuidAlreadyExists`, 422, 500, 503; see the table there
 */
export async function importFromSource(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    options: SourceImport,
): Promise<StoredImage> {
    const manifest = options.manifest ?? (await sourceManifest(services, context, uuid, options.address));
    const isOfThisImport = (raw: RawImage): boolean =>
        options.importId !== undefined && importIdOf(raw) === options.importId;
    const mayReplace = (raw: RawImage): void => {
        requirePlaceholder(raw);
        if (!isOfThisImport(raw)) {
            throw imageUuidAlreadyExists(uuid);
        }
    };
    return withCleanup(services, [uuid], async (cleanup) => {
        const existing = await findImage(services, uuid);
        if (existing?.raw.state === 'unactivated' && isOfThisImport(existing.raw)) {
            // Whoever asks again has not got the answer to the first request.
            return existing;
        }
        if (existing !== undefined) {
            mayReplace(existing.raw);
        }
        const raw = await sourceRecord(services, context, manifest, options);
        const store = async (): Promise<StoredImage> => {
            if (existing !== undefined) {
                const { expires_at } = existing.raw;
                // It goes with the activation; until then the copy may fail, and must not stay for ever.
                const expiring = { ...raw, ...(expires_at === undefined ? {} : { expires_at }) };
                return replacePlaceholder(services, existing, expiring, mayReplace, cleanup);
            }
            await services.archive.write(raw);
            return services.database.create(raw);
        };
        return store().catch(savesAs(SAVE_FAILURE));
    });
}
