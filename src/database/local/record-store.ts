import { constants } from 'node:fs';
import { copyFile, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories } from '../../base/config-types.js';
import {
    makeDirectory,
    removeDurably,
    removeIfPresent,
    syncDirectory,
    writeFileAtOnce,
    writeFileDurably,
} from '../../base/durable-files.js';
import { systemErrorCode } from '../../base/errors.js';
import { timeStamp } from '../../base/time-stamp.js';
import type { DurableSteps } from './durable-steps.js';
import { isTemporary, recordFileName } from './file-names.js';
import { MoveIntents } from './move-intents.js';

/** Most quarantined copies of one record that may get the stamp of the same second. */
const MAX_SAME_STAMP = 60;

/** What the store needs of its surroundings. */
export interface RecordStoreOptions {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
    readonly steps: DurableSteps;
}

/**
 * Writes the records of the `manifests` directory so that each step is on stable storage before the
 * next (backends W1, W2, W12). When a step fails, what was before is put back as far as the disk
 * lets it. One task for each uuid at a time, which the caller sees to.
 */
export class RecordStore {
    readonly #directories: BaseDirectories;
    readonly #log: Logger;
    readonly #clock: Clock;
    readonly #steps: DurableSteps;
    readonly #intents: MoveIntents;
    /** What is left to do to undo failed changes, by each of their uuids. */
    readonly #undoing = new Map<string, () => Promise<void>>();

    constructor({ directories, log, clock, steps }: RecordStoreOptions) {
        this.#directories = directories;
        this.#log = log;
        this.#clock = clock;
        this.#steps = steps;
        this.#intents = new MoveIntents({ directories, log, steps });
    }

    /**
     * Ends the undoing of earlier changes that the disk did not let be undone at once. To be called
     * before any other change of these uuids.
     *
     * @throws the file system's error when the disk still does not let it; nothing may be changed then
     */
    async settle(uuids: readonly string[]): Promise<void> {
        for (const uuid of uuids) {
            await this.#intents.settle(uuid);
            await this.#undoing.get(uuid)?.();
        }
    }

    /**
     * Stores the text of a record.
     *
     * @param previous the text in its place so far; absent: there was none
     * @throws the file system's error; the previous text is then in place, or will be by {@link settle}
     */
    async write(uuid: string, text: string, previous?: string): Promise<void> {
        const path = this.#path(uuid);
        try {
            await this.#steps.write(path, text);
        } catch (error) {
            await this.#undo([uuid], () => putBack(path, text, previous));
            throw error;
        }
    }

    /**
     * Removes a record.
     *
     * @throws the file system's error; the previous text is then in place, or will be by {@link settle}
     */
    async remove(uuid: string, previous: string): Promise<void> {
        const path = this.#path(uuid);
        try {
            await this.#steps.remove(path);
        } catch (error) {
            await this.#undo([uuid], () => putBack(path, undefined, previous));
            throw error;
        }
    }

    /**
     * Stores a record under its new uuid and removes the old one, as one step (backends W12). No
     * file of the new uuid may be there.
     *
     * @throws the file system's error; only the old record is then in place, or will be by {@link settle}
     */
    async move(from: string, to: string, text: string, previous: string): Promise<void> {
        await this.#intents.record(from, to);
        try {
            await this.#steps.write(this.#path(to), text);
            await this.#steps.remove(this.#path(from));
        } catch (error) {
            await this.#undo([from, to], async () => {
                // In this order: at any time there is one of the two records, and what says which.
                await putBack(this.#path(from), undefined, previous);
                await removeDurably(this.#path(to));
                await this.#intents.giveUp(from, to);
            });
            throw error;
        }
        await this.#intents.complete(from);
    }

    /**
     * Copies a file that is no usable record to where nothing removes it, before it is overwritten
     * (backends 3).
     *
     * @throws the file system's error
     */
    async quarantine(uuid: string): Promise<void> {
        const { quarantine } = this.#directories;
        await makeDirectory(quarantine);
        const copy = await this.#copyStamped(this.#path(uuid), join(quarantine, recordFileName(uuid)));
        const handle = await open(copy, 'r');
        try {
            await handle.sync();
        } finally {
            await handle.close();
        }
        await syncDirectory(quarantine);
        this.#log.warn({ uuid, copy }, 'kept a copy of an unusable record');
    }

    /**
     * Takes a file that is no usable record away, keeping a copy; see {@link quarantine}.
     *
     * @throws the file system's error
     */
    async clear(uuid: string): Promise<void> {
        await this.quarantine(uuid);
        await removeDurably(this.#path(uuid));
    }

    /**
     * Ends what an earlier writer left unfinished: moves are completed or dropped, temporary files
     * removed (operations 1.2, 6b).
     *
     * @throws the file system's error
     */
    async recover(): Promise<void> {
        await this.#intents.recover();
        const names = await readdir(this.#directories.manifests);
        const temporaries = names.filter(isTemporary);
        for (const name of temporaries) {
            await removeIfPresent(join(this.#directories.manifests, name));
        }
        if (temporaries.length > 0) {
            await syncDirectory(this.#directories.manifests);
            this.#log.info({ files: temporaries.length }, 'removed unfinished records');
        }
    }

    #path(uuid: string): string {
        return join(this.#directories.manifests, recordFileName(uuid));
    }

    /** Copies to a name that is free, the first with the present time. */
    async #copyStamped(from: string, base: string): Promise<string> {
        const now = this.#clock.now();
        for (let second = 0; ; second += 1) {
            const copy = `${base}.${timeStamp(now + second * 1000)}`;
            try {
                await copyFile(from, copy, constants.COPYFILE_EXCL);
                return copy;
            } catch (error) {
                if (systemErrorCode(error) !== 'EEXIST' || second >= MAX_SAME_STAMP) {
                    throw error;
                }
            }
        }
    }

    /** Runs `undo` at once or, if the disk does not let it, before the next change of one of the uuids. */
    async #undo(uuids: readonly string[], undo: () => Promise<void>): Promise<void> {
        const attempt = async (): Promise<void> => {
            await undo();
            uuids
                .filter((uuid) => this.#undoing.get(uuid) === attempt)
                .forEach((uuid) => this.#undoing.delete(uuid));
        };
        try {
            await attempt();
        } catch (error) {
            uuids.forEach((uuid) => this.#undoing.set(uuid, attempt));
            this.#log.error({ err: error, uuids }, 'a failed change of records could not be undone yet');
        }
    }
}

/**
 * Puts the text of a record back where a step took effect but could not be made durable.
 *
 * @param written what the step left there; anything else stays
 * @throws the file system's error
 */
async function putBack(
    path: string,
    written: string | undefined,
    previous: string | undefined,
): Promise<void> {
    if ((await textOf(path)) !== written) {
        return;
    }
    if (previous === undefined) {
        await removeDurably(path);
        return;
    }
    try {
        await writeFileDurably(path, previous);
    } catch {
        // A disk that cannot sync may still write: what is there had better be what was answered.
        await writeFileAtOnce(path, previous);
    }
}

/** Content of a file; `undefined` when there is none. */
async function textOf(path: string): Promise<string | undefined> {
    try {
        return await readFile(path, 'utf8');
    } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') {
            return undefined;
        }
        throw error;
    }
}
