import type Logger from 'bunyan';
import type { StorageType } from '../base/constants.js';
import { findRecord } from '../maintenance/record-exists.js';
import type { RawImage } from '../manifest/types.js';
import type { StoredFileName } from '../storage/storage.js';
import type { UploadIntent } from '../storage/upload-journal.js';
import { type Draft, storeChange } from './change-image.js';
import type { ImageServices } from './context.js';
import { type BytesEntry, holdsBytes } from './stored-bytes.js';

function entryOf(raw: RawImage, name: StoredFileName): unknown {
    return name === 'icon' ? raw.icon : raw.files?.[Number(name.slice('file'.length))];
}

function withEntry(raw: RawImage, name: StoredFileName, entry: BytesEntry): Draft {
    if (name === 'icon') {
        return { ...raw, icon: entry };
    }
    const files: unknown[] = [...(raw.files ?? [])];
    files[Number(name.slice('file'.length))] = entry;
    return { ...raw, files };
}

/**
 * Brings record and bytes of one upload together: forward if its bytes are in place, else back.
 *
 * @returns what was done, for the log
 */
async function recover(services: ImageServices, intent: UploadIntent): Promise<string> {
    const { uuid, name, temporaryName } = intent;
    const storage = services.storages.get(intent.stor as StorageType);
    if (storage === undefined) {
        throw new Error(`storage ${intent.stor} is not configured`);
    }
    const visible = !(await storage.removeTemporary(uuid, temporaryName));
    const entry = visible ? intent.next : intent.previous;
    const image = await findRecord(services.database, uuid);
    if (image === 'unknown') {
        throw new Error('the record cannot be read');
    }
    if (image === 'absent') {
        await storage.remove(uuid, name);
        return 'removed: the image is gone';
    }
    if (entry === undefined || entryOf(image.raw, name) !== undefined) {
        return 'nothing to do';
    }
    if (!(await holdsBytes(storage, uuid, name, entry))) {
        return 'nothing to do: the bytes are not there';
    }
    await storeChange(services, uuid, (raw) => withEntry(raw, name, entry));
    return visible ? 'completed' : 'taken back';
}

/**
 * Settles the uploads that a crash cut off between bytes and record, before anything else is written
 * (backends 15, crash points for AddImageFile). One that cannot be settled now is left for the next start.
 */
export async function recoverUploads(services: ImageServices, log: Logger): Promise<void> {
    for (const noted of await services.uploads.pending()) {
        const { intent } = noted;
        const { uuid, name } = intent;
        try {
            const outcome = await services.imageQueue.run(uuid, () => recover(services, intent));
            await noted.drop();
            log.info({ uuid, name, outcome }, 'interrupted upload settled');
        } catch (err) {
            log.error({ err, uuid, name }, 'interrupted upload could not be settled');
        }
    }
}
