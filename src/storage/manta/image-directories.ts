import { posix } from 'node:path';
import { uuidPrefix } from '../../base/directories.js';
import { RecentlyUsed } from '../../base/recently-used.js';
import { ObjectStoreError, type ObjectStore } from '../../remotes/object-store.js';

/** Tries when a directory vanishes between making it and using it; each needs another delete of it. */
const MAX_TRIES = 10;
/** Directories that are remembered as made. */
const REMEMBERED = 1000;

/** The directories of images in a store: `<root>/images/<first 3 of uuid>/<uuid>` (backends 8). */
export class ImageDirectories {
    readonly root: string;
    readonly #objects: ObjectStore;
    readonly #made = new RecentlyUsed<string>(REMEMBERED);

    /** @param rootDir `manta.rootDir` of the configuration */
    constructor(objects: ObjectStore, rootDir: string) {
        this.#objects = objects;
        this.root = posix.join(rootDir, 'images');
    }

    /** Directory of an image; it need not exist. */
    of(uuid: string): string {
        return posix.join(this.root, uuidPrefix(uuid), uuid);
    }

    /** Path of an object of an image. */
    pathOf(uuid: string, name: string): string {
        return posix.join(this.of(uuid), name);
    }

    /**
     * Does `use` when the image's directory is there: made once, and again when it was removed meanwhile
     * because its last object went.
     *
     * @throws what making it or `use` throws
     */
    async use<T>(uuid: string, use: () => Promise<T>): Promise<T> {
        const directory = this.of(uuid);
        for (let tries = 1; ; tries += 1) {
            if (this.#made.get(directory) === undefined) {
                await this.#objects.makeDirectory(directory);
                this.#made.set(directory, directory);
            }
            try {
                return await use();
            } catch (error) {
                const isGone = error instanceof ObjectStoreError && error.code === 'DirectoryDoesNotExist';
                if (!isGone || tries === MAX_TRIES) {
                    throw error;
                }
                this.#made.delete(directory);
            }
        }
    }

    /** Removes the image's directory if the object that went was the last one. */
    async afterRemoval(uuid: string): Promise<void> {
        const directory = this.of(uuid);
        this.#made.delete(directory);
        await this.#objects.removeDirectory(directory);
    }
}
