import { uuidOf, type FileBytes } from './backup-files.js';
import type { FoundBackup } from './find-backup.js';
import { recordOf, waitingAt } from './manta-tree.js';
import type { MantaWriter } from './manta-writer.js';

/** What was stored to wait. */
interface Waiting {
    readonly size: number;
    /** Absent: Manta does not say. */
    readonly etag: string | undefined;
}

/**
 * Replaces files of an image in Manta together with their record, although there is no such step there: the
 * new files are stored in `next`, beside the trees, then the new record is. Now the old record is removed,
 * and from here on the image is the new one: what waits is copied to its place, the record last, and taken
 * away. Cut off anywhere, the trees never have a record beside other files than it names, which is all that
 * the existing server looks at; and who knows of `next` has the old image, or the new one.
 *
 * In between, the trees have no record of the image at all. That cannot be helped where a file gets other bytes
 * under the same name; what is only added, and a record that alone is another one, does not come this way.
 */
export class MantaReplacements {
    readonly #writer: MantaWriter;
    /** Told of what is in its place, with its etag if that is known. */
    readonly #onPlaced: (path: string, etag: string | undefined) => void;
    /** Files that wait, by their paths, by the path of their record. */
    readonly #waiting = new Map<string, Map<string, Waiting>>();

    constructor(writer: MantaWriter, onPlaced: (path: string, etag: string | undefined) => void) {
        this.#writer = writer;
        this.#onPlaced = onPlaced;
    }

    /** Brings to its end what another run has begun, and takes away what it has got ready for nothing. What is broken stays. */
    async settle({ begun, broken, waiting }: FoundBackup): Promise<void> {
        for (const record of begun) {
            await this.#finish(
                record,
                waiting.filter((path) => recordOf(path) === record && path !== record),
            );
        }
        const kept = new Set([...begun, ...broken.map(({ record }) => record)]);
        await this.clear(waiting.filter((path) => !kept.has(recordOf(path))));
    }

    /** Takes away what waits: records first, so that none is left beside less than it names. */
    async clear(paths: readonly string[]): Promise<void> {
        const isRecord = (path: string): boolean => path === recordOf(path);
        await this.#clear(paths.filter(isRecord));
        await this.#clear(paths.filter((path) => !isRecord(path)));
    }

    /** Has a file wait for its record. */
    async put(file: FileBytes): Promise<void> {
        const { path } = file;
        const record = recordOf(path);
        this.#waiting.set(
            record,
            (this.#waiting.get(record) ?? new Map<string, Waiting>()).set(path, await this.#store(file)),
        );
    }

    /** Whether files wait for a record. */
    isWaitedFor(record: string): boolean {
        return this.#waiting.has(record);
    }

    /**
     * Puts a record, and the files that wait for it, in the place of the last ones.
     *
     * @throws Error when somebody else has taken away what waits; then the last ones stay
     */
    async replace(record: FileBytes): Promise<void> {
        const { path } = record;
        const files = this.#waiting.get(path) ?? new Map<string, Waiting>();
        const stored = await this.#store(record);
        await this.#requireAll(path, new Map([...files, [path, stored]]));
        await this.#writer.remove(path);
        await this.#finish(path, [...files.keys()]);
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

    async #store(file: FileBytes): Promise<Waiting> {
        const { size } = file;
        const { etag } = await this.#writer.put(waitingAt(file.path), file);
        return { size, etag };
    }

    /** @throws Error when what was stored is not all there any more; then the record does not wait either */
    async #requireAll(record: string, files: ReadonlyMap<string, Waiting>): Promise<void> {
        for (const [path, { size, etag }] of files) {
            const found = await this.#writer.stat(waitingAt(path));
            const isOther = etag !== undefined && found?.etag !== undefined && found.etag !== etag;
            if (found?.size !== size || isOther) {
                await this.#clear([record]);
                throw new Error(
                    `${waitingAt(path)} is gone, or another one, since it was stored: ` +
                        'somebody else is at work on this backup',
                );
            }
        }
    }

    async #finish(record: string, files: readonly string[]): Promise<void> {
        const paths = [...files, record];
        for (const path of paths) {
            await this.#writer.copy(waitingAt(path), path);
        }
        // Only now: until its record is there, the existing server does not know of the image.
        for (const path of paths) {
            this.#onPlaced(path, (await this.#writer.stat(path))?.etag);
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
