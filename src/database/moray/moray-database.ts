import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type Logger from 'bunyan';
import type { ConfigSource } from '../../base/config-types.js';
import { ApiError, imageNotFound, imageUuidAlreadyExists, internalError } from '../../base/errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { within } from '../../base/within.js';
import type { RawImage } from '../../manifest/types.js';
import type { Change, Database, DeleteOptions, MoveChange, StoredImage } from '../database.js';
import type { Query } from '../query.js';
import { BucketKeeper, IMAGES } from './bucket.js';
import { forColumns } from './column-values.js';
import { compareAndSwap, type SwapOptions, type Write } from './compare-and-swap.js';
import type { MorayConnection } from './connection.js';
import type { Deadline } from './deadline.js';
import { isConflict, isMissing, isNamed, otherFailure, readFailure, unavailable } from './failures.js';
import { ImageRows } from './image-rows.js';
import { OwnWrites, type Since } from './own-writes.js';
import { Records } from './records.js';
import { searchImages } from './search.js';

/** Longest wait for changes under way before they are cut off, milliseconds: a stop has 10 s for everything. */
const CLOSE_WAIT = 5000;

/** What a Moray database needs. */
export interface MorayDatabaseOptions {
    /** Opened by {@link MorayDatabase.setup}, ended by {@link MorayDatabase.close}. */
    readonly moray: MorayConnection;
    readonly config: ConfigSource;
    readonly log: Logger;
    /** A number from 0 up to 1, for pauses; for tests. */
    readonly random?: () => number;
}

/** What a change of one image needs from its beginning to its end. */
interface Task {
    readonly uuid: string;
    readonly seen: StoredImage | undefined;
    /** When what it may start from was read, seen from the writes of this process. */
    readonly since: Since;
    readonly deadline: Deadline;
    /** What is answered when Moray refuses. */
    readonly failure: string;
    /** Whether the answer to a write was lost, so that what is found may be of this very task. */
    isLost: boolean;
}

/** A record to start from, and when its reading began on the clock of `performance.now`. */
interface Reading {
    readonly image: StoredImage;
    readonly started: number;
}

/** Carries what a caller's function throws past all that looks at Moray's errors. */
class Refusal extends Error {
    constructor(readonly reason: unknown) {
        super('refused');
    }
}

async function judge<T>(ask: () => T | Promise<T>): Promise<T> {
    try {
        return await ask();
    } catch (error) {
        throw new Refusal(error);
    }
}

/** Says that a write has not been done, for its row is still the one it started from. @throws ApiError 503 */
function requireUnchanged(found: StoredImage | undefined, before: StoredImage): void {
    if (found?.token !== before.token) {
        throw unavailable();
    }
}

/**
 * The records of images in a bucket of Moray, which any number of processes share (backends 4). Keeps
 * no copies to answer from: every call asks Moray, and every change is refused by Moray if somebody
 * else changed the record meanwhile, then done again on the newer one (backends W3, 14).
 */
export class MorayDatabase implements Database {
    readonly #moray: MorayConnection;
    readonly #records: Records;
    readonly #writes: OwnWrites;
    readonly #rows: ImageRows;
    readonly #bucket: BucketKeeper;
    readonly #random: () => number;
    /** One change of a record at a time: those of this process need not race each other. */
    readonly #changes = new KeyedQueue();

    constructor(options: MorayDatabaseOptions) {
        const { moray, config, log, random = Math.random } = options;
        this.#moray = moray;
        this.#random = random;
        const rules = () => {
            const { mode, channels } = config.current;
            return { mode, channels: channels !== undefined };
        };
        this.#records = new Records(rules, log);
        this.#writes = new OwnWrites(random);
        this.#rows = new ImageRows(moray, this.#records, this.#writes);
        this.#bucket = new BucketKeeper(moray, IMAGES, log);
    }

    /** Starts to connect; does not wait for it, for Moray may come later (backends 4.2). */
    async setup(): Promise<void> {
        this.#moray.connect();
        return Promise.resolve();
    }

    async get(uuid: string): Promise<StoredImage> {
        try {
            return await this.#rows.read(uuid, this.#moray.deadline());
        } catch (error) {
            this.#noteMissingBucket(error);
            throw readFailure(error, uuid);
        }
    }

    async search(query: Query): Promise<readonly StoredImage[]> {
        const since = this.#writes.now;
        try {
            return await searchImages(
                {
                    moray: this.#moray,
                    bucket: IMAGES.name,
                    toImage: (row) => this.#rows.toImage(row, since),
                },
                query,
            );
        } catch (error) {
            query.signal?.throwIfAborted();
            if (error instanceof TypeError) {
                throw error;
            }
            throw this.#failure(error, 'error searching images');
        }
    }

    async create(raw: RawImage): Promise<StoredImage> {
        const { uuid } = raw;
        const task = this.#task(uuid, `error saving image ${uuid}`);
        return this.#run(task, [uuid], async () => {
            const record = this.#prepare(raw, task);
            const started = performance.now();
            const write = this.#newRow(record, task, () =>
                this.#rows.put(record, null, { deadline: task.deadline, started }),
            );
            return compareAndSwap(this.#swap(task), async () => Promise.resolve(write));
        });
    }

    async update(uuid: string, change: Change, seen?: StoredImage): Promise<StoredImage> {
        const task = this.#task(uuid, `error modifying image ${uuid}`, seen);
        const { deadline, failure } = task;
        return this.#run(task, [uuid], () =>
            compareAndSwap(this.#swap(task), async (tried) => {
                const { image, started } = await this.#current(task, tried);
                const changed = await judge(() => change(image.raw));
                if (changed === undefined || changed === image.raw) {
                    return { result: image };
                }
                if (changed.uuid !== uuid) {
                    throw internalError(failure, new Error('the uuid of a record changes by move only'));
                }
                const record = this.#prepare(changed, task);
                return {
                    send: () => this.#rows.put(record, image.token, { deadline, started }),
                    find: async () => {
                        const found = await this.#rows.find(uuid, deadline);
                        if (found !== undefined && isDeepStrictEqual(found.raw, record)) {
                            return found;
                        }
                        requireUnchanged(found, image);
                        return undefined;
                    },
                };
            }),
        );
    }

    async move(
        oldUuid: string,
        newUuid: string,
        change: MoveChange,
        seen?: StoredImage,
    ): Promise<StoredImage> {
        const task = this.#task(oldUuid, `error modifying image ${oldUuid}`, seen);
        const { deadline, failure } = task;
        return this.#run(task, [oldUuid, newUuid], () =>
            compareAndSwap(this.#swap(task), async (tried) => {
                const { image, started } = await this.#current(task, tried);
                const changed = await judge(() => change(image.raw));
                if (changed.uuid !== newUuid) {
                    throw internalError(failure, new Error('the record has another uuid than announced'));
                }
                const record = this.#prepare(changed, task);
                return this.#newRow(record, task, () =>
                    this.#rows.move(oldUuid, image.token, record, { deadline, started }),
                );
            }),
        );
    }

    async del(uuid: string, options: DeleteOptions = {}): Promise<void> {
        const task = this.#task(uuid, `could not delete image ${uuid}`, options.seen);
        const { deadline } = task;
        await this.#run(task, [uuid], () =>
            compareAndSwap(this.#swap(task), async (tried) => {
                const { image, started } = await this.#current(task, tried);
                await judge(() => options.check?.(image));
                return {
                    send: async () => {
                        await this.#rows.remove(uuid, image.token, { deadline, started });
                        return true;
                    },
                    find: async () => {
                        const found = await this.#rows.find(uuid, deadline);
                        if (found === undefined) {
                            return true;
                        }
                        requireUnchanged(found, image);
                        return undefined;
                    },
                };
            }),
        );
    }

    /** @throws ApiError 503 when Moray or its database does not answer */
    async ping(): Promise<void> {
        const deadline = this.#moray.deadline();
        const timeout = deadline.remaining;
        try {
            await this.#moray.call(deadline, (client, done) => client.ping({ deep: true, timeout }, done));
        } catch (error) {
            throw unavailable(error);
        }
    }

    /** Judges every record anew from now on, after a change of `mode` or `channels`. */
    async revalidate(): Promise<void> {
        this.#records.clear();
        return Promise.resolve();
    }

    /** Lets changes end, but not for as long as a call to a silent Moray may take. */
    async close(): Promise<void> {
        await within(CLOSE_WAIT, this.#changes.idle()).catch(() => undefined);
        await Promise.all([this.#moray.close(), this.#bucket.close()]);
    }

    #task(uuid: string, failure: string, seen?: StoredImage): Task {
        const reading = seen && this.#writes.readingOf(seen);
        return {
            uuid,
            failure,
            seen: reading === undefined ? undefined : seen,
            since: reading ?? this.#writes.now,
            deadline: this.#moray.deadline(),
            isLost: false,
        };
    }

    #swap(task: Task): SwapOptions {
        return {
            moray: this.#moray,
            deadline: task.deadline,
            random: this.#random,
            onConflict: () => this.#writes.noteConflict(task.uuid),
        };
    }

    /** Runs a change when it is its turn; what Moray says becomes what is answered. */
    async #run<T>(task: Task, uuids: readonly string[], work: () => Promise<T>): Promise<T> {
        try {
            return await this.#changes.runAll(uuids, async () => {
                task.deadline.check();
                return work();
            });
        } catch (error) {
            if (error instanceof Refusal) {
                throw error.reason;
            }
            throw isMissing(error) ? imageNotFound(task.uuid) : this.#failure(error, task.failure);
        }
    }

    #failure(error: unknown, what: string): ApiError {
        this.#noteMissingBucket(error);
        return otherFailure(error, what);
    }

    /** Somebody removed it, or it has not been made yet. */
    #noteMissingBucket(error: unknown): void {
        if (isNamed(error, 'BucketNotFoundError')) {
            this.#bucket.check();
        }
    }

    /**
     * The record that a try starts from. The first may start from what the caller read or, if that is
     * outdated, from what was written here since: both were the current one at some time of the call.
     */
    async #current(task: Task, tried: number): Promise<Reading> {
        const { uuid, since, seen, deadline } = task;
        if (tried === 0) {
            const isOvertaken = this.#writes.isOvertaken(uuid, since);
            const isContended = this.#writes.isContended(uuid);
            const gap = isOvertaken || isContended ? this.#writes.gap(uuid) : 0;
            if (gap > 0) {
                await pause(gap);
            }
            const known = isOvertaken ? this.#writes.latest(uuid, since) : seen;
            if (known !== undefined && !(isContended && gap > 0)) {
                return { image: known, started: performance.now() };
            }
        }
        const started = performance.now();
        return { image: await this.#rows.read(uuid, deadline), started };
    }

    /** A write that must not find a row of the record's uuid in its place. */
    #newRow(record: RawImage, task: Task, send: () => Promise<StoredImage>): Write<StoredImage> {
        const { uuid } = record;
        const find = async (): Promise<StoredImage | undefined> => {
            const found = await this.#rows.find(uuid, task.deadline);
            if (found !== undefined && !isDeepStrictEqual(found.raw, record)) {
                // Maybe it was written here and changed since: no conflict that could be told of.
                throw unavailable();
            }
            return found;
        };
        return {
            find: () => {
                task.isLost = true;
                return find();
            },
            send: async () => {
                try {
                    return await send();
                } catch (error) {
                    const isRefused = isConflict(error) || isNamed(error, 'UniqueAttributeError');
                    if (isRefused && !task.isLost && (await this.#exists(uuid, task.deadline))) {
                        throw imageUuidAlreadyExists(uuid);
                    }
                    throw error;
                }
            },
        };
    }

    async #exists(uuid: string, deadline: Deadline): Promise<boolean> {
        try {
            return (await this.#rows.find(uuid, deadline)) !== undefined;
        } catch (error) {
            if (error instanceof ApiError) {
                // An unusable record.
                return true;
            }
            throw error;
        }
    }

    /** A record as it will be read again. @throws ApiError 422 for what columns cannot hold, else 500 */
    #prepare(raw: RawImage, task: Task): RawImage {
        const record = forColumns(raw);
        try {
            return this.#records.prepare(record);
        } catch (error) {
            throw internalError(task.failure, error);
        }
    }
}
