import type { StorageType } from '../base/constants.js';
import { isStorageDown } from '../base/errors.js';
import type { Storage } from './storage.js';

/**
 * The storages that a pass over many images finds down. Each is asked how it is before the first image
 * that needs it has to wait, and one that is down is asked nothing more: its silence takes its time.
 */
export class AwayStorages {
    readonly #storages: ReadonlyMap<StorageType, Pick<Storage, 'check'>>;
    readonly #away = new Map<string, boolean>();

    constructor(storages: ReadonlyMap<StorageType, Pick<Storage, 'check'>>) {
        this.#storages = storages;
    }

    /** Whether a storage is known to be down; one that has not been asked is not. */
    has(stor: string): boolean {
        return this.#away.get(stor) ?? false;
    }

    /** Whether a storage is down; the first time it is asked. */
    async isAway(stor: string): Promise<boolean> {
        const known = this.#away.get(stor);
        if (known !== undefined) {
            return known;
        }
        const storage = this.#storages.get(stor as StorageType);
        const isAway = await (storage?.check() ?? Promise.resolve()).then(() => false, isStorageDown);
        this.#away.set(stor, isAway);
        return isAway;
    }

    /** Notes why a storage has failed. */
    note(stor: string, error: unknown): void {
        if (isStorageDown(error)) {
            this.#away.set(stor, true);
        }
    }
}
