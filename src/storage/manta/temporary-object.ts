import { posix } from 'node:path';
import type Logger from 'bunyan';
import { isStorageDown } from '../../base/errors.js';
import type { ObjectStore } from '../../remotes/object-store.js';
import type { JournalEntry } from '../delete-journal.js';
import type { ImageDirectories } from './image-directories.js';

/** What a {@link TemporaryObject} is made from. */
export interface TemporaryObjectOptions {
    readonly objects: ObjectStore;
    readonly directories: ImageDirectories;
    readonly log: Logger;
    readonly uuid: string;
    readonly name: string;
    /** Finds the object after a crash. */
    readonly entry: JournalEntry;
    /** Lets the image's directory be removed. */
    readonly release: () => Promise<void>;
}

/**
 * The object `<name>.<fresh uuid>` that a file is received into, from its note in the journal to its
 * end, of which there is one. What cannot be removed now is found by the next pass of the journal.
 */
export class TemporaryObject {
    readonly name: string;
    readonly path: string;
    readonly #options: TemporaryObjectOptions;

    constructor(options: TemporaryObjectOptions) {
        const { directories, uuid, name } = options;
        this.#options = options;
        this.name = name;
        this.path = directories.pathOf(uuid, name);
    }

    /** Path of another object of the same image. */
    sibling(name: string): string {
        return posix.join(posix.dirname(this.path), name);
    }

    /** The bytes have their final name too. Never rejects. */
    async published(): Promise<void> {
        const { objects } = this.#options;
        await this.#end(async () => {
            await objects.remove(this.path);
            return true;
        });
    }

    /**
     * The bytes are not wanted, and the directory neither if there is nothing else. Never rejects.
     *
     * @param reason why not all bytes came, if they did not; a store that is away is not asked again, which
     * takes its time
     * @param mayAppear the store has all bytes and has not said what it did with them
     */
    async discard(reason: unknown, mayAppear = false): Promise<void> {
        const { objects, directories, uuid } = this.#options;
        await this.#end(async () => {
            if (isStorageDown(reason)) {
                throw reason;
            }
            await objects.remove(this.path);
            await directories.afterRemoval(uuid);
            return !mayAppear;
        });
    }

    /** @param remove tells whether the object is gone for good */
    async #end(remove: () => Promise<boolean>): Promise<void> {
        const { entry, release, log } = this.#options;
        try {
            if (await remove().finally(release)) {
                await entry.drop();
                return;
            }
        } catch (err) {
            log.warn({ err, path: this.path }, 'temporary object is left to the next pass of the journal');
        }
        entry.leave();
    }
}
