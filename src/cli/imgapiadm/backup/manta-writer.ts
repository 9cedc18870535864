import { posix } from 'node:path';
import type { FoundObject, ObjectFacts, ObjectStore } from '../../../remotes/object-store.js';
import type { FileBytes } from './backup-files.js';
import { storeInManta } from './manta-file.js';

/** Stores and removes files below a directory in Manta, by paths relative to it. */
export class MantaWriter {
    readonly #objects: ObjectStore;
    readonly #root: string;
    readonly #signal: AbortSignal;
    readonly #made = new Map<string, Promise<void>>();
    readonly #emptied = new Set<string>();

    constructor(objects: ObjectStore, root: string, signal: AbortSignal) {
        this.#objects = objects;
        this.#root = root;
        this.#signal = signal;
    }

    /** Stores a file as one step, as {@link storeInManta} does. @returns what Manta says it has stored */
    async put(path: string, file: FileBytes): Promise<Partial<ObjectFacts>> {
        const to = await this.#place(path);
        return storeInManta(this.#objects, to, file, { signal: this.#signal });
    }

    /** Makes a file visible under a second name. */
    async copy(from: string, to: string): Promise<void> {
        const target = await this.#place(to);
        await this.#objects.copy(this.pathOf(from), target, { signal: this.#signal });
    }

    async stat(path: string): Promise<FoundObject | undefined> {
        this.#signal.throwIfAborted();
        return await this.#objects.stat(this.pathOf(path));
    }

    async remove(path: string): Promise<void> {
        this.#signal.throwIfAborted();
        await this.#objects.remove(this.pathOf(path));
        this.#emptied.add(posix.dirname(path));
    }

    /** Removes the directories of what was removed, where they are empty; not the topmost ones. */
    async removeEmptied(): Promise<void> {
        for (const directory of this.#emptied) {
            let emptied = directory;
            while (emptied.includes('/') && (await this.#objects.removeDirectory(this.pathOf(emptied)))) {
                emptied = posix.dirname(emptied);
            }
        }
        this.#emptied.clear();
    }

    /** Where a file is in Manta. */
    pathOf(path: string): string {
        return posix.join(this.#root, path);
    }

    async #place(path: string): Promise<string> {
        this.#signal.throwIfAborted();
        const to = this.pathOf(path);
        const directory = posix.dirname(to);
        let making = this.#made.get(directory);
        if (making === undefined) {
            making = this.#objects.makeDirectory(directory);
            this.#made.set(directory, making);
        }
        await making;
        return to;
    }
}
