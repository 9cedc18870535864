import type { StorageType } from '../base/constants.js';
import { storageUnsupported } from '../base/errors.js';
import type { ImageFile, ImageIcon, RawImage } from '../manifest/types.js';
import type { PendingDelete } from '../storage/delete-journal.js';
import type { Storage, StoredFileName } from '../storage/storage.js';
import type { ImageServices } from './context.js';

/** A file or the icon of an image, and what its record says of it. */
export interface NamedEntry {
    readonly name: StoredFileName;
    readonly entry: ImageFile | ImageIcon;
}

/** Name of the storage of a file or icon entry; very old entries have none and are local (manifest 1). */
export function storageNameOf(entry: { readonly stor?: string }): string {
    return entry.stor ?? 'local';
}

/** Name of a file of an image by its place in `files`. */
export function fileName(index: number): StoredFileName {
    return `file${index}`;
}

/** What a record says of its files and its icon, in this order. */
export function namedEntries(raw: RawImage): readonly NamedEntry[] {
    return [
        ...(raw.files ?? []).map((entry, index) => ({ name: fileName(index), entry })),
        ...(raw.icon === undefined ? [] : [{ name: 'icon' as const, entry: raw.icon }]),
    ];
}

/** What a record says of one file, or of the icon. */
export function entryOf(raw: RawImage, name: StoredFileName): ImageFile | ImageIcon | undefined {
    return namedEntries(raw).find((one) => one.name === name)?.entry;
}

/** The files and the icon a record names. */
export function recordedFiles(
    raw: RawImage,
): readonly { readonly stor: string; readonly name: StoredFileName }[] {
    return namedEntries(raw).map(({ name, entry }) => ({ stor: storageNameOf(entry), name }));
}

/** Every file that may belong to an image. */
export interface PossibleFiles {
    /** In this machine's storage, and in those that its record names. */
    readonly near: readonly PendingDelete[];
    /** What an upload cut short may have left elsewhere without a record (backends 15, crash points). */
    readonly elsewhere: readonly PendingDelete[];
}

/** Every file that may belong to an image, see {@link PossibleFiles}. */
export function possibleFiles(services: ImageServices, raw: RawImage): PossibleFiles {
    const recorded = recordedFiles(raw);
    const strays = [...services.storages.keys()].flatMap((stor) =>
        ['file0', 'icon'].map((name) => ({ stor, name })),
    );
    const all = new Map([...recorded, ...strays].map((file) => [`${file.stor} ${file.name}`, file]));
    const isNear = ({ stor }: PendingDelete): boolean =>
        stor === 'local' || recorded.some((file) => file.stor === stor);
    const files = [...all.values()];
    return { near: files.filter(isNear), elsewhere: files.filter((file) => !isNear(file)) };
}

/** A storage by the name records have for it. @throws 503 `StorageUnsupported` when it is not set up */
export function requireStorage(services: ImageServices, name: string): Storage {
    const storage = services.storages.get(name as StorageType);
    if (storage === undefined) {
        throw storageUnsupported();
    }
    return storage;
}
