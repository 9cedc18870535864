import type Logger from 'bunyan';
import type { StorageType } from '../base/constants.js';
import { isStorageDown } from '../base/errors.js';
import { findRecord } from '../maintenance/record-exists.js';
import type { RawImage } from '../manifest/types.js';
import { AwayStorages } from '../storage/away-storages.js';
import type { Storage, StoredFileName } from '../storage/storage.js';
import type { PendingUpload, UploadClaim, UploadIntent } from '../storage/upload-journal.js';
import { type Draft, storeChange } from './change-image.js';
import type { ImageServices } from './context.js';
import { entryOf, storageNameOf } from './image-files.js';
import { agrees, type BytesEntry, holdsBytes } from './stored-bytes.js';

/** Place in `files` of a file by its name; -1: the icon. */
function indexOf(name: StoredFileName): number {
    return name === 'icon' ? -1 : Number(name.slice('file'.length));
}

function withEntry(raw: RawImage, { name, behind = [] }: UploadIntent, entry: BytesEntry): Draft {
    const index = indexOf(name);
    return index < 0
        ? { ...raw, icon: entry }
        : { ...raw, files: [...(raw.files ?? []).slice(0, index), entry, ...behind] };
}

/** Whether the files before the one of an upload are gone, so that its record has no place for it any more. */
function hasNoPlace(raw: RawImage, name: StoredFileName): boolean {
    return indexOf(name) > (raw.files ?? []).length;
}

/** A place, and what may be in it. */
interface InPlace<Entry extends BytesEntry> {
    readonly uuid: string;
    readonly name: StoredFileName;
    readonly previous?: Entry;
    readonly next: Entry;
}

/**
 * The entry that describes the bytes in place; `undefined`: none of them. What the storage tells of them is nearly always enough;
 * only where both entries agree with that are the bytes read.
 */
export async function entryInPlace<Entry extends BytesEntry>(
    storage: Storage,
    { uuid, name, previous, next }: InPlace<Entry>,
): Promise<Entry | undefined> {
    const facts = await storage.stat(uuid, name);
    const candidates = [next, previous].filter((entry) => entry !== undefined && agrees(facts, entry));
    if (candidates.length < 2) {
        return candidates[0];
    }
    for (const entry of candidates) {
        if (entry !== undefined && (await holdsBytes(storage, uuid, name, entry))) {
            return entry;
        }
    }
    return undefined;
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
    const image = await findRecord(services.database, uuid);
    if (image === 'unknown') {
        throw new Error('the record cannot be read');
    }
    // Before anything is looked at: a storage that was too slow may still be about to make them visible.
    await storage.removeTemporary(uuid, temporaryName);
    const current = image === 'absent' ? undefined : entryOf(image.raw, name);
    let outcome = 'nothing to do';
    if (image === 'absent') {
        await storage.remove(uuid, name);
        outcome = 'removed: the image is gone';
    } else if (current !== undefined && storageNameOf(current) !== intent.stor) {
        // The upload was to replace bytes in another storage, which the record names to the last.
        await storage.remove(uuid, name);
        outcome = 'removed: the record names other bytes';
    } else if (hasNoPlace(image.raw, name)) {
        await storage.remove(uuid, name);
        outcome = 'removed: the files before it are gone';
    } else if (current === undefined) {
        const entry = await entryInPlace(storage, intent);
        if (entry === undefined) {
            outcome = 'nothing to do: the bytes are not there';
        } else {
            await storeChange(services, uuid, (raw) => withEntry(raw, intent, entry));
            outcome = entry === intent.next ? 'completed' : 'taken back';
        }
    }
    return outcome;
}

async function settle(services: ImageServices, intent: UploadIntent, log: Logger): Promise<void> {
    const outcome = await recover(services, intent);
    log.info({ uuid: intent.uuid, file: intent.name, outcome }, 'interrupted upload settled');
}

const UNSETTLED = 'interrupted upload could not be settled';

/**
 * Takes the right to replace a file, inside the image's queue. What a process that has ended left there
 * is settled first; what cannot be settled is put aside for a later pass.
 *
 * @throws as {@link UploadJournal.claim}
 */
export async function claimUpload(
    services: ImageServices,
    uuid: string,
    name: StoredFileName,
    log: Logger,
): Promise<UploadClaim> {
    for (;;) {
        const claim = await services.uploads.claim(uuid, name);
        if (claim.left === undefined) {
            return claim;
        }
        let isSettled = false;
        try {
            await settle(services, claim.left, log);
            isSettled = true;
        } catch (err) {
            log.error({ err, uuid, file: name }, UNSETTLED);
        }
        await claim.end(isSettled);
    }
}

/** Gives the right back, see {@link UploadClaim.end}. Never rejects. */
export async function endClaim(claim: UploadClaim, isSettled: boolean, log: Logger): Promise<void> {
    try {
        await claim.end(isSettled);
    } catch (err) {
        log.warn({ err }, 'upload intent stays until the next upload or pass');
    }
}

/**
 * Settles what earlier uploads of a file have left aside. While their storage is down nobody knows which
 * bytes are in place: those that are to come back would be taken for those of an upload that fails now.
 *
 * @throws 503 `StorageIsDown`
 */
export async function settleAside(
    services: ImageServices,
    uuid: string,
    name: StoredFileName,
    log: Logger,
): Promise<void> {
    for (const { intent, drop } of await services.uploads.pending(uuid)) {
        if (intent.name !== name || drop === undefined) {
            continue;
        }
        try {
            await settle(services, intent, log);
            await drop();
        } catch (err) {
            if (isStorageDown(err)) {
                throw err;
            }
            log.error({ err, uuid, file: name }, UNSETTLED);
        }
    }
}

/**
 * As {@link claimUpload}, for who is about to delete the file: what was left aside is settled, too; else
 * what is to come back would be deleted.
 *
 * @throws as {@link claimUpload} and {@link settleAside}
 */
export async function claimSettled(
    services: ImageServices,
    uuid: string,
    name: StoredFileName,
    log: Logger,
): Promise<UploadClaim> {
    const claim = await claimUpload(services, uuid, name, log);
    try {
        await settleAside(services, uuid, name, log);
        return claim;
    } catch (error) {
        await endClaim(claim, true, log);
        throw error;
    }
}

/**
 * Forgets the uploads that were left aside for an image whose record has just gone, its bytes noted for
 * deletion: the next image of this uuid must not get them. Never rejects.
 */
export async function forgetAside(services: ImageServices, uuid: string, log: Logger): Promise<void> {
    try {
        for (const { drop } of await services.uploads.pending(uuid)) {
            await drop?.();
        }
    } catch (err) {
        log.warn({ err, uuid }, 'interrupted uploads of a deleted image could not be forgotten');
    }
}

/** Settles one upload while no process uploads the same file. Runs in the queue of its image. */
async function settleAlone(services: ImageServices, noted: PendingUpload, log: Logger): Promise<void> {
    const { intent, drop } = noted;
    const claim = await claimUpload(services, intent.uuid, intent.name, log);
    try {
        if (drop !== undefined) {
            await settle(services, intent, log);
            await drop();
        }
    } finally {
        await claim.end(true);
    }
}

/**
 * Settles the uploads that a crash, or a storage that went down, cut off between bytes and record
 * (backends 15, crash points for AddImageFile). What cannot be settled now is left for the next pass; a
 * storage that is down is not asked again in this one.
 *
 * @param options.stor the only storage that is to be asked; absent: all
 * @param options.signal ends the pass after the upload at hand
 */
export async function recoverUploads(
    services: ImageServices,
    log: Logger,
    options: { readonly stor?: StorageType; readonly signal?: AbortSignal } = {},
): Promise<void> {
    const away = new AwayStorages(services.storages);
    for (const noted of await services.uploads.pending()) {
        const { uuid, name, stor } = noted.intent;
        const isWanted = stor === (options.stor ?? stor) && options.signal?.aborted !== true;
        if (!isWanted || (await away.isAway(stor))) {
            continue;
        }
        try {
            await services.imageQueue.run(uuid, () => settleAlone(services, noted, log));
        } catch (err) {
            log.error({ err, uuid, file: name }, UNSETTLED);
            away.note(stor, err);
        }
    }
}
