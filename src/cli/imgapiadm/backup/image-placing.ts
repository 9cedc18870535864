import {
    ChangedError,
    pathsOf,
    readSmallFile,
    UnreadableError,
    uuidOf,
    type SmallFile,
} from './backup-files.js';
import type { Placement } from './placement.js';
import { localFilesOf, MismatchError, type NamedFile } from './record-files.js';

/** How often something is read again that is changed again and again meanwhile. */
export const MAX_TRIES = 10;

/** How long a server may need from a new file to the record that names it, and a look at that, milliseconds. */
const RECORD_DELAY_MS = 2000;
const LOOK_MS = 100;

/** Why an image cannot be in a backup as it is. */
export interface Wrong {
    readonly path: string;
    readonly problem: string;
}

/** Tries again what changes while it is read. @throws what `task` throws else */
export async function whileChanging<T>(task: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
        try {
            return await task();
        } catch (error) {
            if (!(error instanceof ChangedError) || tries === MAX_TRIES) {
                throw error;
            }
        }
    }
}

/** What is wrong with a file itself. @throws `error`, when it is not about that */
export function problemOf(error: unknown): string {
    if (error instanceof UnreadableError || error instanceof ChangedError || error instanceof MismatchError) {
        return error.message;
    }
    throw error;
}

/**
 * Has one image in a backup: its files, then its record, which is read once. Of each file the size is compared
 * with what that record says; of those that are stored, or compared byte by byte, the SHA-1, too. What has the
 * size and the time it had in the last backup is taken to be what it was then.
 *
 * What does not fit may be on its way from one file to the next: then the record is another one by now, or
 * soon, and all begins anew. If it stays the same, the image is damaged.
 */
class ImagePlacing {
    readonly #placement: Placement;
    readonly #record: string;
    readonly #uuid: string;
    readonly #paths = new Set<string>();

    constructor(placement: Placement, record: string) {
        this.#placement = placement;
        this.#record = record;
        this.#uuid = uuidOf(record) ?? '';
    }

    async place(): Promise<readonly Wrong[]> {
        let wrong: readonly Wrong[] = [];
        try {
            wrong = await this.#tryAll();
        } catch (error) {
            wrong = [{ path: this.#record, problem: problemOf(error) }];
        }
        if (wrong.length > 0) {
            await this.#takeBack();
        }
        return wrong;
    }

    async #tryAll(): Promise<readonly Wrong[]> {
        const placement = this.#placement;
        let before: Buffer | undefined;
        let wrong: readonly Wrong[] = [];
        for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
            const record = await this.#read(before);
            if (record === undefined) {
                await this.#takeBack();
                return [];
            }
            if (before?.equals(record.bytes) === true) {
                return wrong;
            }
            const files = localFilesOf(record.bytes.toString());
            wrong =
                files === undefined
                    ? [{ path: this.#record, problem: 'it is no record' }]
                    : await this.#placeFiles(files);
            if (wrong.length === 0) {
                await placement.placeRecord(record, this.#paths);
                return [];
            }
            before = record.bytes;
        }
        return [{ path: this.#record, problem: 'it was changed again and again meanwhile' }];
    }

    /** Reads the record; once something did not fit it, waits a moment for another one. */
    async #read(before: Buffer | undefined): Promise<SmallFile | undefined> {
        const { base, pause } = this.#placement;
        for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
            const record = await readSmallFile(base, this.#record);
            const isSame = record !== undefined && before?.equals(record.bytes) === true;
            if (!isSame || waitedMs >= RECORD_DELAY_MS) {
                return record;
            }
            await pause(LOOK_MS);
        }
    }

    async #placeFiles(files: readonly NamedFile[]): Promise<readonly Wrong[]> {
        const wrong: Wrong[] = [];
        for (const named of files) {
            wrong.push(...(await this.#placeFile(named)));
        }
        return wrong;
    }

    async #placeFile(named: NamedFile): Promise<readonly Wrong[]> {
        const [usual, old] = pathsOf(this.#uuid, named.name);
        for (const path of [usual, old]) {
            this.#paths.add(path);
            try {
                if (await whileChanging(() => this.#placement.place(path, { named }))) {
                    return [];
                }
            } catch (error) {
                return [{ path, problem: problemOf(error) }];
            }
        }
        return [{ path: usual, problem: 'its record names it, but it is not there' }];
    }

    async #takeBack(): Promise<void> {
        for (const path of this.#paths) {
            await this.#placement.takeBack(path);
        }
    }
}

/**
 * Has an image in a backup, or leaves it there as the last one has it.
 *
 * @returns why it was left; nothing: it is there, or nowhere any more
 * @throws Error when the target fails
 */
export function placeImage(placement: Placement, record: string): Promise<readonly Wrong[]> {
    return new ImagePlacing(placement, record).place();
}
