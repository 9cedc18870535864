import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type Logger from 'bunyan';
import { systemClock, type Clock } from '../../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../../base/config-types.js';
import { makeDirectory } from '../../base/durable-files.js';
import {
    imageNotFound,
    imageUuidAlreadyExists,
    internalError,
    resourceNotFound,
    serviceUnavailable,
    writeFailure,
} from '../../base/errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { forEachParallelToEnd } from '../../base/parallel.js';
import { isUuid } from '../../base/uuid.js';
import type { ManifestRules, RawImage } from '../../manifest/types.js';
import { validateRaw } from '../../manifest/validate.js';
import type { Change, Database, DeleteOptions, MoveChange, StoredImage } from '../database.js';
import type { Query } from '../query.js';
import { DirectoryFollower } from './directory-follower.js';
import { DURABLE_STEPS, type DurableSteps } from './durable-steps.js';
import { uuidOfFile } from './file-names.js';
import { Mirror, type SkippedFile } from './mirror.js';
import { RecordReader } from './record-reader.js';
import { RecordStore } from './record-store.js';

/** Records judged again at the same time after a change of the rules. */
const PARALLEL_JUDGEMENTS = 64;

/** What a local database needs. */
export interface LocalDatabaseOptions {
    readonly directories: BaseDirectories;
    readonly config: ConfigSource;
    readonly log: Logger;
    readonly clock?: Clock;
    /** How changes reach the disk; for tests. */
    readonly steps?: DurableSteps;
    /** `false`: follow another writer by the directory's time only, as where the system gives no notices. */
    readonly useNotices?: boolean;
}

/** The content of a record's file: no newline at its end (backends 3). */
function recordText(raw: RawImage): string {
    return JSON.stringify(raw, null, 2);
}

/** Runs steps on the disk; a failure becomes what is answered (backends 4.4). */
async function durably<T>(failure: string, steps: () => Promise<T>): Promise<T> {
    try {
        return await steps();
    } catch (error) {
        throw writeFailure(error, failure);
    }
}

/**
 * The records of images as files `manifests/<uuid>.raw`, all held in memory (backends 3). One
 * process writes, any number read and follow it with at most 2 s delay (operations 4.7). It starts
 * as a reader; {@link becomeWriter} is for the process that holds the lock, and is cheapest before
 * {@link setup}.
 */
export class LocalDatabase implements Database {
    readonly #directories: BaseDirectories;
    readonly #config: ConfigSource;
    readonly #mirror: Mirror;
    readonly #store: RecordStore;
    readonly #follower: DirectoryFollower;
    /** One change of a record at a time (backends W3). */
    readonly #changes = new KeyedQueue();
    #loaded = false;
    #role: 'reader' | 'writer' | 'closed' = 'reader';

    constructor(options: LocalDatabaseOptions) {
        const { directories, config, log, clock = systemClock, steps = DURABLE_STEPS } = options;
        const { useNotices = true } = options;
        this.#directories = directories;
        this.#config = config;
        this.#mirror = new Mirror(
            directories.manifests,
            new RecordReader(directories, () => this.#rules()),
            log,
        );
        this.#store = new RecordStore({ directories, log, clock, steps });
        this.#follower = new DirectoryFollower({
            directory: directories.manifests,
            log,
            uuidOf: uuidOfFile,
            onChange: async (uuid) => {
                await this.#mirror.refresh(uuid);
            },
            onScan: () => this.#mirror.scan(),
            useNotices,
        });
    }

    /** Files in the `manifests` directory that are no usable records, and why. */
    get skipped(): readonly SkippedFile[] {
        return this.#mirror.skipped;
    }

    /** Number of images. */
    get size(): number {
        return this.#mirror.index.size;
    }

    /** Whether this process follows another that writes. */
    get isReader(): boolean {
        return this.#role === 'reader';
    }

    /** All images at this moment, in no particular order. */
    snapshot(): Iterable<StoredImage> {
        return [...this.#mirror.index.images()];
    }

    /**
     * Loads all records and, unless this process is the writer, follows their changes from then on.
     *
     * @throws the file system's error when the directory or a file in it cannot be read
     */
    async setup(): Promise<void> {
        if (this.#loaded) {
            return;
        }
        await makeDirectory(this.#directories.manifests);
        await this.#follower.start();
        await this.#mirror.load();
        this.#loaded = true;
        this.#follower.report();
    }

    /**
     * Takes over writing, once and for all: settles what an earlier writer left unfinished, makes
     * sure that memory and disk agree, then accepts changes (operations 1.2). To be called by the
     * holder of the lock only.
     *
     * @throws the file system's error; the process is then still a reader, which no longer follows
     */
    async becomeWriter(): Promise<void> {
        await this.#follower.stop();
        await makeDirectory(this.#directories.manifests);
        await this.#store.recover();
        await (this.#loaded ? this.#mirror.scan() : this.#mirror.load());
        this.#loaded = true;
        await this.#mirror.idle();
        this.#mirror.endScans();
        if (this.#role === 'reader') {
            this.#role = 'writer';
        }
    }

    /** @throws 404; 503 when a reader cannot look whether the writer has it meanwhile */
    async get(uuid: string): Promise<StoredImage> {
        const isKnown = this.#mirror.index.get(uuid) !== undefined;
        if (!isKnown && this.#role === 'reader' && isUuid(uuid)) {
            try {
                await this.#mirror.refresh(uuid);
            } catch (error) {
                throw serviceUnavailable('service unavailable', 5, error);
            }
        }
        return this.#held(uuid);
    }

    /**
     * As {@link get}, of the record as it is on disk at this moment: what a reader holds may be 2 s old.
     *
     * @throws 404; the file system's error
     */
    async reread(uuid: string): Promise<StoredImage> {
        await this.#mirror.refresh(uuid);
        return this.#held(uuid);
    }

    async search(query: Query): Promise<readonly StoredImage[]> {
        query.signal?.throwIfAborted();
        return Promise.resolve(this.#mirror.index.search(query));
    }

    async create(raw: RawImage): Promise<StoredImage> {
        const { uuid } = raw;
        const failure = `error saving image ${uuid}`;
        return this.#change([uuid], async () => {
            const isFileThere = await this.#claim(uuid, failure);
            const { record, text } = this.#prepare(raw, failure);
            await durably(failure, async () => {
                if (isFileThere) {
                    await this.#store.quarantine(uuid);
                }
                await this.#store.write(uuid, text);
            });
            return this.#mirror.put(record);
        });
    }

    async update(uuid: string, change: Change): Promise<StoredImage> {
        const failure = `error modifying image ${uuid}`;
        return this.#change([uuid], async () => {
            const held = this.#held(uuid);
            const changed = await change(held.raw);
            if (changed === undefined || changed === held.raw) {
                return held;
            }
            if (changed.uuid !== uuid) {
                throw internalError(failure, new Error('the uuid of a record changes by move only'));
            }
            const { record, text } = this.#prepare(changed, failure);
            await durably(failure, () => this.#store.write(uuid, text, recordText(held.raw)));
            return this.#mirror.put(record);
        });
    }

    async move(oldUuid: string, newUuid: string, change: MoveChange): Promise<StoredImage> {
        const failure = `error modifying image ${oldUuid}`;
        return this.#change([oldUuid, newUuid], async () => {
            const held = this.#held(oldUuid);
            const changed = await change(held.raw);
            if (changed.uuid !== newUuid) {
                throw internalError(failure, new Error('the record has another uuid than announced'));
            }
            const isFileThere = await this.#claim(newUuid, failure);
            const { record, text } = this.#prepare(changed, failure);
            await durably(failure, async () => {
                if (isFileThere) {
                    // Else a crash before the new record is there would look like one behind it.
                    await this.#store.clear(newUuid);
                }
                await this.#store.move(oldUuid, newUuid, text, recordText(held.raw));
            });
            this.#mirror.drop(oldUuid);
            return this.#mirror.put(record);
        });
    }

    async del(uuid: string, options: DeleteOptions = {}): Promise<void> {
        await this.#change([uuid], async () => {
            const held = this.#held(uuid);
            await options.check?.(held);
            await durably(`could not delete image ${uuid}`, () =>
                this.#store.remove(uuid, recordText(held.raw)),
            );
            this.#mirror.drop(uuid);
        });
    }

    /** @throws the file system's error when the records cannot be read or, by the writer, be written */
    async ping(): Promise<void> {
        const mode = this.#role === 'writer' ? constants.R_OK | constants.W_OK : constants.R_OK;
        await access(this.#directories.manifests, mode | constants.X_OK);
    }

    /**
     * Judges every record by the rules now in force, after a change of `mode` or `channels`: records
     * that have become invalid disappear, skipped ones that have become valid appear.
     *
     * @throws the file system's error when a skipped file cannot be read; all others have been judged then
     */
    async revalidate(): Promise<void> {
        await forEachParallelToEnd(this.#mirror.uuids(), PARALLEL_JUDGEMENTS, async (uuid) => {
            await this.#changes.run(uuid, () => this.#mirror.judge(uuid));
        });
    }

    /** Refuses changes from now on; resolves when none is under way. What is in memory stays readable. */
    async close(): Promise<void> {
        this.#role = 'closed';
        await this.#follower.stop();
        await this.#changes.idle();
        await this.#mirror.idle();
    }

    #rules(): ManifestRules {
        const { mode, channels } = this.#config.current;
        return { mode, channels: channels !== undefined };
    }

    #held(uuid: string): StoredImage {
        const held = this.#mirror.index.get(uuid);
        if (held === undefined) {
            // Whoever cleans up must not take an image whose record is unusable for one that is gone.
            throw this.#mirror.isSkipped(uuid) ? resourceNotFound('not found') : imageNotFound(uuid);
        }
        return held;
    }

    /** Runs a change when all earlier ones of these uuids have ended. */
    async #change<T>(uuids: readonly string[], task: () => Promise<T>): Promise<T> {
        if (this.#role !== 'writer') {
            throw this.#role === 'reader'
                ? serviceUnavailable('this process is a reader', 1)
                : serviceUnavailable('service unavailable', 5);
        }
        return this.#changes.runAll(uuids, async () => {
            await durably(`error modifying image ${uuids.join()}`, () => this.#store.settle(uuids));
            return task();
        });
    }

    /**
     * Makes sure that no record of this uuid exists, known or not; tells whether an unusable file is
     * in its place.
     */
    async #claim(uuid: string, failure: string): Promise<boolean> {
        if (!isUuid(uuid)) {
            throw internalError(failure, new Error('not a uuid, so no file name'));
        }
        let isFileThere = false;
        if (this.#mirror.index.get(uuid) === undefined) {
            isFileThere = await durably(
                failure,
                async () => (await this.#mirror.refresh(uuid)) === 'skipped',
            );
        }
        if (this.#mirror.index.get(uuid) !== undefined) {
            throw imageUuidAlreadyExists(uuid);
        }
        return isFileThere;
    }

    /** A record as it will be read again, with its text; refused when it could not be. */
    #prepare(raw: RawImage, failure: string): { readonly record: RawImage; readonly text: string } {
        try {
            const copy = JSON.parse(JSON.stringify(raw)) as Record<string, unknown>;
            const record = validateRaw(copy, this.#rules(), 'lenient');
            return { record, text: recordText(record) };
        } catch (error) {
            throw internalError(failure, error);
        }
    }
}
