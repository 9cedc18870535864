import { ApiError, internalError } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import type { JournalEntry } from '../storage/delete-journal.js';
import type { Storage, StoredFileName } from '../storage/storage.js';
import { type Draft, storeChange } from './change-image.js';
import { inClaimedPlaces } from './claimed-places.js';
import type { ImageServices, RequestContext } from './context.js';
import { MOVE_FAILURE, requireSame, type StorageCopy } from './copy-to-storage.js';
import { failsAs, savesAs } from './failures.js';
import { entryOf, fileName, type NamedEntry, storageNameOf } from './image-files.js';
import type { Cleanup } from './image-task.js';
import { loadImage } from './load.js';

const SAVE_FAILURE = 'could not save updated manifest';

/** Whether a record names the very bytes of an entry, in this storage. */
export function namesIn(raw: RawImage, { name, entry }: NamedEntry, stor: string): boolean {
    const current = entryOf(raw, name);
    return (
        current !== undefined &&
        current.sha1 === entry.sha1 &&
        current.size === entry.size &&
        current.mtime === entry.mtime &&
        storageNameOf(current) === stor
    );
}

/** The change to the new storage; runs in the image's queue, its places claimed. */
class StorageSwitch {
    readonly #services: ImageServices;
    readonly #target: Storage;
    readonly #copies: readonly StorageCopy[];
    readonly #uuid: string;
    #isUnanswered = false;

    constructor(services: ImageServices, uuid: string, target: Storage, copies: readonly StorageCopy[]) {
        this.#services = services;
        this.#uuid = uuid;
        this.#target = target;
        this.#copies = copies;
    }

    async run(seen: StoredImage, cleanup: Cleanup): Promise<StoredImage> {
        this.#requireUnchanged(seen.raw);
        cleanup.add(await this.#note());
        for (const copy of this.#copies) {
            await copy.writer.commit().catch(async (error: unknown) => {
                // As for an upload: what has no temporary name can come to no final one any more.
                await copy.writer.abort();
                return failsAs(MOVE_FAILURE)(error);
            });
            await this.#requireInPlace(copy);
        }
        try {
            const change = (raw: RawImage): Draft => this.#moved(raw);
            return await storeChange(this.#services, this.#uuid, change, { archive: false, seen });
        } catch (error) {
            this.#isUnanswered = error instanceof ApiError && error.code === 'ServiceUnavailableError';
            return savesAs(SAVE_FAILURE)(error);
        }
    }

    /**
     * Notes both places of every file: when all is over, those that the record does not name go. If the
     * database did not answer, it may still do what it was asked for: then this is left to a later pass.
     */
    async #note(): Promise<JournalEntry> {
        const places = this.#copies.flatMap(({ name, entry }) =>
            [storageNameOf(entry), this.#target.type].map((stor) => ({ stor, name })),
        );
        const noted = await this.#services.journal.note(this.#uuid, places).catch(savesAs(SAVE_FAILURE));
        return {
            ...noted,
            finish: async () => (this.#isUnanswered ? noted.postpone() : noted.finish()),
        };
    }

    /** What the storage says of the file under its final name (jobs-and-imports 7.2). */
    async #requireInPlace({ name, facts }: StorageCopy): Promise<void> {
        const found = await this.#target.stat(this.#uuid, name).catch(failsAs(MOVE_FAILURE));
        if (found === undefined) {
            throw internalError(`${MOVE_FAILURE}: copied file is missing from storage`);
        }
        requireSame('stored', found, facts);
    }

    #requireUnchanged(raw: RawImage): void {
        if (!this.#copies.every((copy) => namesIn(raw, copy, storageNameOf(copy.entry)))) {
            throw internalError(`${MOVE_FAILURE}: the file was replaced meanwhile`);
        }
    }

    #moved(raw: RawImage): Draft {
        this.#requireUnchanged(raw);
        const { files, icon } = raw;
        const moved = <T extends object>(name: StoredFileName, entry: T): T =>
            this.#copies.some((copy) => copy.name === name) ? { ...entry, stor: this.#target.type } : entry;
        return {
            ...raw,
            ...(files === undefined
                ? {}
                : { files: files.map((entry, index) => moved(fileName(index), entry)) }),
            ...(icon === undefined ? {} : { icon: moved('icon', icon) }),
        };
    }
}

/**
 * Makes copies the files of an image: final names, a look at each of them there, then one change of the
 * record, and only then the old bytes go (backends W11). The places are claimed meanwhile: another process
 * that put bytes of an upload there, or took an entry of the journal for due, would destroy what no
 * record names yet.
 *
 * @throws 404, 500, 503; then what was copied goes, and the old bytes stay
 */
export async function switchStorage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    target: Storage,
    copies: readonly StorageCopy[],
): Promise<StoredImage> {
    const options = { log: context.log, failure: SAVE_FAILURE, names: copies.map(({ name }) => name) };
    return services.imageQueue.run(uuid, () =>
        inClaimedPlaces(services, [uuid], options, async (cleanup) => {
            context.signal.throwIfAborted();
            // Read when nobody else replaces the files any more.
            const image = await loadImage(services, context, uuid);
            return new StorageSwitch(services, uuid, target, copies).run(image, cleanup);
        }),
    );
}
