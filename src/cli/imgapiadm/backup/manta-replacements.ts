import { uuidOf, type FileBytes } from './backup-files.js';
import { NEXT, recordOf, type FoundBackup } from './manta-tree.js';
import type { MantaWriter } from './manta-writer.js';

function waitingAt(path: string): string {
    return `${NEXT}/${path}`;
}

/**
 * Replaces files of an image in Manta together with their record, although there is no such step there: the
 * new files are stored in `next`, beside the trees, then the new record is. Now the old record is removed,
 * and from here on the image is the new one: what waits is copied to its place, the record last, and taken
 * away. Cut off anywhere, the trees never have a record beside other files than it names, which is all that
 * the existing server looks at; and who knows of `next` has the old image, or the new one.
 */
export class MantaReplacements {
    readonly #writer: MantaWriter;
    /** Told of what is in its place, with its etag if that is known. */
    readonly #onPlaced: (path: string, etag: string | undefined) => void;
    /** Paths of files that wait, by the path of their record. */
    readonly #waiting = new Map<string, Set<string>>();

    constructor(writer: MantaWriter, onPlaced: (path: string, etag: string | undefined) => void) {
        this.#writer = writer;
        this.#onPlaced = onPlaced;
    }

    /** Brings to its end what another run has begun, and takes away what it has got ready for nothing. */
    async settle({ begun, waiting }: FoundBackup): Promise<void> {
        for (const record of begun) {
            await this.#finish(
                record,
                waiting.filter((path) => recordOf(path) === record && path !== record),
            );
        }
        const others = waiting.filter((path) => !begun.includes(recordOf(path)));
        const isRecord = (path: string): boolean => path === recordOf(path);
        await this.#clear(others.filter(isRecord));
        await this.#clear(others.filter((path) => !isRecord(path)));
    }

    /** Has a file wait for its record. */
    async put(file: FileBytes): Promise<void> {
        await this.#writer.put(waitingAt(file.path), file);
        const record = recordOf(file.path);
        this.#waiting.set(record, (this.#waiting.get(record) ?? new Set()).add(file.path));
    }

    /** Whether files wait for a record. */
    isWaitedFor(record: string): boolean {
        return this.#waiting.has(record);
    }

    /** Puts a record, and the files that wait for it, in the place of the last ones. */
    async replace(record: FileBytes): Promise<void> {
        const { path } = record;
        await this.#writer.put(waitingAt(path), record);
        await this.#writer.remove(path);
        await this.#finish(path, [...(this.#waiting.get(path) ?? [])]);
        this.#waiting.delete(path);
    }

    /** Gives up a file that waits; tells whether it did. */
    async discard(path: string): Promise<boolean> {
        const record = recordOf(path);
        const paths = this.#waiting.get(record);
        if (uuidOf(path) === undefined || paths?.has(path) !== true) {
            return false;
        }
        await this.#clear([path]);
        paths.delete(path);
        if (paths.size === 0) {
            this.#waiting.delete(record);
        }
        return true;
    }

    async #finish(record: string, files: readonly string[]): Promise<void> {
        for (const path of [...files, record]) {
            this.#onPlaced(path, await this.#writer.copy(waitingAt(path), path));
        }
        // The record first: were it left alone, it could come back after the image was deleted.
        await this.#clear([record, ...files]);
    }

    async #clear(paths: readonly string[]): Promise<void> {
        for (const path of paths) {
            await this.#writer.remove(waitingAt(path));
        }
    }
}
