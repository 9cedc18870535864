import { posix } from 'node:path';
import { uuidPrefix } from '../../base/directories.js';
import { RecentlyUsed } from '../../base/recently-used.js';
import { isDirectoryMissing, type ObjectStore } from '../../remotes/object-store.js';

/** Tries when a directory vanishes between making it and using it; each needs another delete of it. */
const MAX_TRIES = 10;
/** Directories that are remembered as made. */
const REMEMBERED = 1000;

/** The directories of images in a store: `<root>/images/<first 3 of uuid>/<uuid>` (backends 8). */
export class ImageDirectories {
    readonly root: string;
    readonly #objects: ObjectStore;
    /** By image: how many objects are on their way, and whether the directory may be empty. */
    readonly #held = new Map<string, { count: number; isEmptied: boolean }>();
    readonly #removals = new Map<string, Promise<unknown>>();
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
     * Keeps an image's directory from being removed by this process while an object is on its way into
     * it: its last step would find no directory.
     *
     * @returns ends that, and removes the directory if it would have been removed meanwhile
     */
    async hold(uuid: string): Promise<() => Promise<void>> {
        const held = this.#held.get(uuid) ?? { count: 0, isEmptied: false };
        this.#held.set(uuid, held);
        held.count += 1;
        await this.#removals.get(uuid);
        return async () => {
            held.count -= 1;
            if (held.count > 0) {
                return;
            }
            this.#held.delete(uuid);
            if (held.isEmptied) {
                await this.afterRemoval(uuid);
            }
        };
    }

    /**
     * Does `use` when the image's directory is there: made once, and again when it was removed meanwhile
     * because its last object went.
     *
     * @throws what making it or `use` throws
     */
    async use<T>(uuid: string, use: () => Promise<T>): Promise<T> {
        const release = await this.hold(uuid);
        try {
            return await this.#useHeld(uuid, use);
        } finally {
            // An empty directory is no reason to fail.
            await release().catch(() => undefined);
        }
    }

    /** Removes the image's directory if the object that went was the last one. */
    async afterRemoval(uuid: string): Promise<void> {
        const held = this.#held.get(uuid);
        if (held !== undefined) {
            held.isEmptied = true;
            return;
        }
        const directory = this.of(uuid);
        this.#made.delete(directory);
        const removal = this.#objects.removeDirectory(directory);
        const ended = removal.catch(() => undefined);
        this.#removals.set(uuid, ended);
        try {
            await removal;
        } finally {
            if (this.#removals.get(uuid) === ended) {
                this.#removals.delete(uuid);
            }
        }
    }

    async #useHeld<T>(uuid: string, use: () => Promise<T>): Promise<T> {
        const directory = this.of(uuid);
        for (let tries = 1; ; tries += 1) {
            if (this.#made.get(directory) === undefined) {
                await this.#objects.makeDirectory(directory);
                this.#made.set(directory, directory);
            }
            try {
                return await use();
            } catch (error) {
                if (!isDirectoryMissing(error) || tries === MAX_TRIES) {
                    throw error;
                }
                this.#made.delete(directory);
            }
        }
    }
}
