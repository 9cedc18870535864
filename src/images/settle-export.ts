import { ObjectStoreError, type FoundObject, type ObjectStore } from '../remotes/object-store.js';
import type { ExportIntent, ExportJournal } from '../storage/export-journal.js';
import type { ExportArea } from './export-area.js';

/** Content type of manifests in the store (backends 8). */
export const MANIFEST_TYPE = 'application/json';

/** Whether the file of an export is there as it should be. */
export async function hasExportedFile(
    objects: ObjectStore,
    { imagePath, size, md5 }: ExportIntent,
): Promise<boolean> {
    const found = await objects.stat(imagePath);
    const isSame = md5 === undefined || found?.md5 === undefined || found.md5 === md5;
    return found !== undefined && !found.isDirectory && found.size === size && isSame;
}

/** Puts back what an export has replaced, unless somebody else has replaced that since. */
async function putBack(
    objects: ObjectStore,
    path: string,
    previous: string,
    etag: string | undefined,
): Promise<void> {
    try {
        await objects.put(path, Buffer.from(previous, 'base64'), {
            contentType: MANIFEST_TYPE,
            ...(etag === undefined ? {} : { ifMatch: etag }),
        });
    } catch (error) {
        if (!(error instanceof ObjectStoreError && error.status === 412)) {
            throw error;
        }
    }
}

/**
 * Whether the manifest in the store is that of an export. If it was cut off before the store said what
 * it calls the manifest, all that tells is what is in it.
 *
 * @throws Error when it could as well be that of another export, which is under way
 */
async function isManifestOf(
    { id, manifestPath, manifestMd5, manifestEtag }: ExportIntent,
    found: FoundObject,
    journal: ExportJournal,
): Promise<boolean> {
    if (manifestEtag !== undefined) {
        return found.etag === manifestEtag;
    }
    const others = (await journal.active()).filter((one) => one.id !== id);
    if (others.some((one) => one.manifestPath === manifestPath)) {
        throw new Error('another export to the same place is under way');
    }
    return found.md5 === manifestMd5;
}

/**
 * Settles an export that came to no end: its manifest goes, or the one before comes back, so that no
 * manifest is without its file (jobs-and-imports 7.1). It stays where the file is there in full, and
 * where it is not this export's: somebody has exported to the same place since.
 *
 * @returns what was done, for the log
 * @throws Error when it cannot be settled now
 */
export async function settleExport({ objects, journal }: ExportArea, intent: ExportIntent): Promise<string> {
    const { manifestPath, previous } = intent;
    const found = await objects.stat(manifestPath);
    if (found === undefined || !(await isManifestOf(intent, found, journal))) {
        return 'nothing to do';
    }
    if (await hasExportedFile(objects, intent)) {
        return 'complete';
    }
    if (previous !== undefined) {
        await putBack(objects, manifestPath, previous, found.etag);
        return 'previous manifest put back';
    }
    await objects.remove(manifestPath);
    return 'manifest removed';
}
