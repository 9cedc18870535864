import type { StorageType } from '../base/constants.js';
import { storageUnsupported } from '../base/errors.js';
import type { RawImage } from '../manifest/types.js';
import type { PendingDelete } from '../storage/delete-journal.js';
import type { Storage, StoredFileName } from '../storage/storage.js';
import type { ImageServices } from './context.js';

/** Name of the storage of a file or icon entry; very old entries have none and are local (manifest 1). */
export function storageNameOf(entry: { readonly stor?: string }): string {
    return entry.stor ?? 'local';
}

/** Name of a file of an image by its place in `files`. */
export function fileName(index: number): StoredFileName {
    return `file${index}`;
}

/** The files and the icon a record names. */
export function recordedFiles(
    raw: RawImage,
): readonly { readonly stor: string; readonly name: StoredFileName }[] {
    return [
        ...(raw.files ?? []).map((file, index) => ({ stor: storageNameOf(file), name: fileName(index) })),
        ...(raw.icon === undefined ? [] : [{ stor: storageNameOf(raw.icon), name: 'icon' as const }]),
    ];
}

/**
 * Every file that may belong to an image: what its record names, and what an upload cut short may
 * have left in a storage without a record (backends 15, crash points).
 */
export function possibleFiles(services: ImageServices, raw: RawImage): readonly PendingDelete[] {
    const strays = [...services.storages.keys()].flatMap((stor) =>
        ['file0', 'icon'].map((name) => ({ stor, name })),
    );
    const all = new Map(
        [...recordedFiles(raw), ...strays].map((file) => [`${file.stor} ${file.name}`, file]),
    );
    return [...all.values()];
}

/** A storage by the name records have for it. @throws 503 `StorageUnsupported` when it is not set up */
export function requireStorage(services: ImageServices, name: string): Storage {
    const storage = services.storages.get(name as StorageType);
    if (storage === undefined) {
        throw storageUnsupported();
    }
    return storage;
}
