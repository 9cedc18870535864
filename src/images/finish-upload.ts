import type { StoredImage } from '../database/database.js';
import type { ImageFile, ImageIcon, RawImage } from '../manifest/types.js';
import type { UploadClaim } from '../storage/upload-journal.js';
import { type Draft, storeChange } from './change-image.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs, savesAs } from './failures.js';
import { recordedFiles, requireStorage, storageNameOf } from './image-files.js';
import { type Cleanup, settlingDeletes } from './image-task.js';
import { loadOwnImage } from './load.js';
import type { Upload } from './receive-upload.js';
import { claimUpload, endClaim, entryInPlace, settleAside } from './recover-uploads.js';
import type { UploadKind } from './upload-kinds.js';

/** The place in a record that an upload fills. */
export interface UploadSlot {
    /** Refuses an image that changed while the bytes came in. */
    check(raw: RawImage): void;
    /** The record's entry for the upload. */
    readonly entry: ImageFile | ImageIcon;
    /** What is in the place now. */
    current(raw: RawImage): ImageFile | ImageIcon | undefined;
    /** Entries behind the place, which {@link emptied} takes out of the record with it. */
    behind(raw: RawImage): readonly ImageFile[];
    /** The record with the place empty. */
    emptied(raw: RawImage): Draft;
    /** The record with the place as it was before. */
    restored(raw: RawImage, before: RawImage): Draft;
    /** The record with the upload in the place. @param before the record before anything was changed */
    filled(raw: RawImage, before: RawImage): Draft;
}

/** An upload and where it goes. */
interface UploadJob {
    readonly kind: UploadKind;
    readonly upload: Upload;
    readonly slot: UploadSlot;
}

/** The work behind the temporary name of one upload; runs in the image's queue. */
class UploadFinish {
    readonly #services: ImageServices;
    readonly #context: RequestContext;
    readonly #kind: UploadKind;
    readonly #upload: Upload;
    readonly #slot: UploadSlot;
    readonly #cleanup: Cleanup;
    readonly #before: RawImage;
    /** The record as it was read or stored last. */
    #latest: StoredImage;
    readonly #claim: UploadClaim;
    /** Whether the previous bytes are in place without a record that names them. */
    #isUnsettled = false;

    constructor(
        services: ImageServices,
        context: RequestContext,
        job: UploadJob,
        cleanup: Cleanup,
        claim: UploadClaim,
        before: StoredImage,
    ) {
        this.#services = services;
        this.#context = context;
        this.#kind = job.kind;
        this.#upload = job.upload;
        this.#slot = job.slot;
        this.#cleanup = cleanup;
        this.#claim = claim;
        this.#before = before.raw;
        this.#latest = before;
    }

    /** Whether bytes and record agree; if not, a later pass brings them together. */
    get isSettled(): boolean {
        return !this.#isUnsettled;
    }

    async run(): Promise<StoredImage> {
        this.#slot.check(this.#before);
        const previous = this.#slot.current(this.#before);
        const replacesBytes = previous !== undefined && storageNameOf(previous) === this.#upload.storage;
        if (previous !== undefined && !replacesBytes) {
            await this.#noteDelete(storageNameOf(previous)).catch(savesAs(this.#kind.saveFailure));
        }
        await this.#noteUpload(replacesBytes ? previous : undefined);
        return await this.#replace(replacesBytes ? previous : undefined);
    }

    /** Makes the bytes visible and the record describe them; `previous` is what is in their place now. */
    async #replace(previous: ImageFile | ImageIcon | undefined): Promise<StoredImage> {
        if (previous !== undefined) {
            await this.#save((raw) => this.#slot.emptied(raw));
        }
        try {
            await this.#upload.writer.commit();
        } catch (error) {
            // First of all: what has no temporary name can come to no final one any more.
            await this.#upload.writer.abort();
            if (previous !== undefined) {
                await this.#nameInPlace(previous);
            }
            await this.#discard();
            return failsAs(this.#kind.receiveFailure)(error);
        }
        try {
            return await this.#save((raw) => this.#slot.filled(raw, this.#before));
        } catch (error) {
            await this.#discard();
            throw error;
        }
    }

    /** So that a crash before the claim ends is settled by who comes next. */
    async #noteUpload(previous: ImageFile | ImageIcon | undefined): Promise<void> {
        const { uuid } = this.#before;
        const next = this.#slot.entry;
        const behind = previous === undefined ? [] : this.#slot.behind(this.#before);
        await this.#claim
            .note({
                uuid,
                name: this.#kind.name,
                stor: this.#upload.storage,
                temporaryName: this.#upload.writer.temporaryName,
                ...(previous === undefined ? {} : { previous }),
                ...(behind.length === 0 ? {} : { behind }),
                next,
            })
            .catch(savesAs(this.#kind.saveFailure));
    }

    async #save(change: (raw: RawImage) => Draft): Promise<StoredImage> {
        const { uuid } = this.#before;
        const checked = (raw: RawImage): Draft => {
            this.#slot.check(raw);
            return change(raw);
        };
        const stored = storeChange(this.#services, uuid, checked, { seen: this.#latest });
        this.#latest = await stored.catch(savesAs(this.#kind.saveFailure));
        return this.#latest;
    }

    async #noteDelete(stor: string): Promise<void> {
        const { uuid } = this.#before;
        this.#cleanup.add(await this.#services.journal.note(uuid, [{ stor, name: this.#kind.name }]));
    }

    /** The record names what is in place: the old bytes, or the new ones if they became visible after all. */
    async #nameInPlace(previous: ImageFile | ImageIcon): Promise<void> {
        const { uuid } = this.#before;
        const storage = requireStorage(this.#services, this.#upload.storage);
        const next = this.#slot.entry;
        try {
            const entry = await entryInPlace(storage, { uuid, name: this.#kind.name, previous, next });
            if (entry !== undefined) {
                await this.#save((raw) =>
                    entry === next
                        ? this.#slot.filled(raw, this.#before)
                        : this.#slot.restored(raw, this.#before),
                );
            }
        } catch (error) {
            this.#isUnsettled = true;
            this.#context.log.error(
                { err: error, uuid },
                'could not put back the previous %s',
                this.#kind.subject,
            );
        }
    }

    /** What is in place goes, unless the record names it after all, or is to name it again. */
    async #discard(): Promise<void> {
        if (this.#isUnsettled) {
            return;
        }
        const { uuid } = this.#before;
        try {
            await this.#noteDelete(this.#upload.storage).catch(() => this.#removeUnnamed());
        } catch (error) {
            this.#context.log.warn(
                { err: error, uuid },
                'stored %s is left without a record',
                this.#kind.subject,
            );
        }
    }

    /** For when the deletion cannot be noted, to be done later. */
    async #removeUnnamed(): Promise<void> {
        const { raw } = await this.#services.database.get(this.#before.uuid);
        const { storage } = this.#upload;
        const { name } = this.#kind;
        if (!recordedFiles(raw).some((file) => file.stor === storage && file.name === name)) {
            await requireStorage(this.#services, storage).remove(raw.uuid, name);
        }
    }
}

/** Finishes an upload while no other process replaces the same file. Runs in the image's queue. */
async function finishAlone(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    job: UploadJob,
): Promise<StoredImage> {
    const { name, saveFailure } = job.kind;
    const claim = await claimUpload(services, uuid, name, context.log).catch(savesAs(saveFailure));
    let finish: UploadFinish | undefined;
    try {
        await settleAside(services, uuid, name, context.log).catch(savesAs(saveFailure));
        return await settlingDeletes(async (cleanup) => {
            // Read when nobody else replaces the file any more.
            const before = await loadOwnImage(services, context, uuid);
            finish = new UploadFinish(services, context, job, cleanup, claim, before);
            return finish.run();
        });
    } finally {
        await endClaim(claim, finish?.isSettled ?? true, context.log);
    }
}

/**
 * Makes an upload visible: the final name first, the record second, both in the image's queue, so
 * that the record always describes the bytes in place (backends W3, crash points for AddImageFile).
 * An entry whose bytes are about to be replaced is taken out of the record before. On failure the
 * upload is gone, and the previous bytes and record stay; the new ones do if they were replaced already.
 *
 * @throws 404 when the image vanished meanwhile, what the slot's check throws, 500, 503
 */
export async function finishUpload(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    job: UploadJob,
): Promise<StoredImage> {
    try {
        return await services.imageQueue.run(uuid, () => finishAlone(services, context, uuid, job));
    } catch (error) {
        await job.upload.writer.abort();
        throw error;
    }
}
