import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { StorageType } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import type { KeyedQueue } from '../base/keyed-queue.js';
import type { Database } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import type { DeleteJournal, PendingDelete } from '../storage/delete-journal.js';
import type { Storage, StoredFileName } from '../storage/storage.js';

/** What the purge needs. */
export interface PurgeOptions {
    readonly database: Database;
    readonly storages: ReadonlyMap<StorageType, Storage>;
    readonly journal: DeleteJournal;
    readonly imageQueue: KeyedQueue;
    /** Whether a job is making an image. @throws when nobody can tell: then the image stays */
    readonly isBeingMade: (uuid: string, signal: AbortSignal) => Promise<boolean>;
    readonly clock: Clock;
    readonly log: Logger;
}

/** States in which a record may be a placeholder (backends 11.1). */
const PLACEHOLDER_STATES = ['creating', 'failed'] as const;
/** Most placeholders deleted in one run; the next run finds the others. */
const MAX_PER_RUN = 1000;
/** Every file an image can have. */
const FILE_NAMES: readonly StoredFileName[] = ['file0', 'file1', 'icon'];

/** Whether a record is a placeholder whose time is over. */
export function isExpired(raw: Pick<RawImage, 'state' | 'expires_at'>, now: number): boolean {
    return (
        PLACEHOLDER_STATES.some((state) => state === raw.state) &&
        raw.expires_at !== undefined &&
        Date.parse(raw.expires_at) <= now
    );
}

/** The files of an image that lie in any storage, whether its record names them or not. */
async function filesOf(uuid: string, storages: PurgeOptions['storages']): Promise<PendingDelete[]> {
    const files: PendingDelete[] = [];
    for (const [stor, storage] of storages) {
        for (const name of FILE_NAMES) {
            if ((await storage.stat(uuid, name)) !== undefined) {
                files.push({ stor, name });
            }
        }
    }
    return files;
}

/**
 * Deletes one placeholder, if it still is an expired one that no job is about to make an image of. Runs
 * inside the image's queue.
 */
async function purgeOne(uuid: string, options: PurgeOptions, signal: AbortSignal): Promise<boolean> {
    const { database, storages, journal, clock, log } = options;
    const image = await database.get(uuid);
    const { raw } = image;
    const isLeft = isExpired(raw, clock.now());
    if (!isLeft || (raw.state === 'creating' && (await options.isBeingMade(uuid, signal)))) {
        return false;
    }
    const entry = await journal.note(uuid, await filesOf(uuid, storages));
    try {
        await database.del(uuid, {
            check: ({ raw: current }) => {
                if (!isExpired(current, clock.now())) {
                    throw new Error('the image is no expired placeholder any more');
                }
            },
            seen: image,
        });
        log.info(
            { uuid, state: raw.state, expiredMs: clock.now() - Date.parse(raw.expires_at ?? '') },
            `Expired placeholder image deleted ${uuid}`,
        );
        return true;
    } finally {
        await entry.finish();
    }
}

/**
 * Deletes one placeholder and what lies about under its uuid, unless it is none any more, or a job is making
 * an image of it.
 *
 * @returns whether it was deleted
 * @throws what the database and the storages throw
 */
export function purgePlaceholder(uuid: string, options: PurgeOptions, signal: AbortSignal): Promise<boolean> {
    return options.imageQueue.run(uuid, () => purgeOne(uuid, options, signal));
}

/**
 * Deletes the records of placeholders whose time is over, and the files that lie about under their
 * uuid (backends 11.1), but none that a job is making (jobs-and-imports 1.5). One that cannot be deleted
 * is logged and left to the next run.
 *
 * @returns number of placeholders deleted
 * @throws the database's error when it cannot be searched
 */
export async function purgePlaceholders(options: PurgeOptions, signal: AbortSignal): Promise<number> {
    const { database, clock, log } = options;
    const expires_at = new Date(clock.now()).toISOString();
    const expired = await database.search({
        anyOf: PLACEHOLDER_STATES.map((state) => ({ state, expires_at })),
        order: 'asc',
        limit: MAX_PER_RUN,
        signal,
    });
    let purged = 0;
    for (const { raw } of expired) {
        signal.throwIfAborted();
        try {
            purged += (await purgePlaceholder(raw.uuid, options, signal)) ? 1 : 0;
        } catch (err) {
            if (!(err instanceof ApiError && err.code === 'ResourceNotFound')) {
                log.warn({ err, uuid: raw.uuid }, 'expired placeholder could not be deleted');
            }
        }
    }
    return purged;
}
