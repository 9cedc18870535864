import { readdir, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import { systemErrorCode } from '../base/errors.js';
import type { KeyedQueue } from '../base/keyed-queue.js';
import { unlessMissing } from '../base/unless-missing.js';
import { isUuid } from '../base/uuid.js';
import { walkFiles } from '../base/walk-files.js';
import type { Database } from '../database/database.js';
import type { RawImage } from '../manifest/types.js';
import { LAYER_AREA } from '../transfers/layers/layer-area.js';
import type { Layers } from '../transfers/layers/layers.js';
import { finalNameOf } from '../storage/file-names.js';
import type { ListedFile, Storage, StoredFileName } from '../storage/storage.js';
import { findRecord } from './record-exists.js';

/** Age at which what nobody finished counts as left behind, milliseconds (README "temp names"). */
const STALE_MS = 86_400_000;

/** What the sweep needs. */
export interface SweepOptions {
    readonly directories: BaseDirectories;
    readonly database: Database;
    /** The local storage. */
    readonly storage: Storage;
    readonly imageQueue: KeyedQueue;
    /** Whether a job may still need what it has staged. */
    readonly isLiveJob: (uuid: string) => boolean;
    readonly layers: Pick<Layers, 'tidy'>;
    readonly clock: Clock;
    readonly log: Logger;
}

/** What a sweep did. */
export interface SweepResult {
    readonly removed: number;
    /** Temporary files that are the only copy of a file the record names (operations 2.4). */
    readonly recoverable: number;
}

function isStale(mtime: number, clock: Clock): boolean {
    return clock.now() - mtime > STALE_MS;
}

/** Whether the record says that local storage holds this file. */
function namesLocally(raw: RawImage, name: StoredFileName): boolean {
    const entry = name === 'icon' ? raw.icon : raw.files?.[Number(name.slice('file'.length))];
    return entry !== undefined && (entry.stor ?? 'local') === 'local';
}

/** Decides on one temporary file. Runs inside the image's queue. */
async function sweepTemporary(
    file: ListedFile,
    name: StoredFileName,
    options: SweepOptions,
): Promise<'removed' | 'recoverable' | 'left'> {
    const { database, storage, log } = options;
    const record = await findRecord(database, file.uuid);
    if (record === 'unknown') {
        log.warn(
            { uuid: file.uuid, file: file.name },
            'stale temporary file left: its record cannot be read',
        );
        return 'left';
    }
    const only =
        record !== 'absent' &&
        namesLocally(record.raw, name) &&
        (await storage.stat(file.uuid, name)) === undefined;
    if (only) {
        log.warn(
            { uuid: file.uuid, file: file.name, size: file.size },
            `recoverable: the record names ${name}, which is missing, and this temporary file may be its only copy`,
        );
        return 'recoverable';
    }
    await storage.removeTemporary(file.uuid, file.name);
    log.info({ uuid: file.uuid, file: file.name, size: file.size }, 'stale temporary file removed');
    return 'removed';
}

/** Sweeps uploads that were never finished out of the local storage (backends 11.2, operations 1.9). */
async function sweepUploads(options: SweepOptions, signal: AbortSignal): Promise<SweepResult> {
    const { storage, imageQueue, clock, log } = options;
    let removed = 0;
    let recoverable = 0;
    for await (const file of storage.list()) {
        signal.throwIfAborted();
        const name = finalNameOf(file.name);
        if (
            name === undefined ||
            !isStale(file.mtime, clock) ||
            storage.uploadsInProgress().includes(file.name)
        ) {
            continue;
        }
        try {
            const outcome = await imageQueue.run(file.uuid, () => sweepTemporary(file, name, options));
            removed += outcome === 'removed' ? 1 : 0;
            recoverable += outcome === 'recoverable' ? 1 : 0;
        } catch (err) {
            log.warn({ err, uuid: file.uuid, file: file.name }, 'stale temporary file could not be removed');
        }
    }
    return { removed, recoverable };
}

/** Where unfinished files are left by a crash, and which of the files there are unfinished. */
interface Corner {
    readonly directory: keyof BaseDirectories;
    /** Levels of directories below it. */
    readonly depth: number;
    /** End of the names that are unfinished ones; empty: all are. */
    readonly suffix: string;
    /** Whether emptied directories go, too. */
    readonly removeEmpty: boolean;
}

/** README table C; `manifests` is the database's own business. */
const CORNERS: readonly Corner[] = [
    { directory: 'archive', depth: 1, suffix: '.tmp', removeEmpty: false },
    { directory: 'run', depth: 1, suffix: '.tmp', removeEmpty: false },
    { directory: 'jobs', depth: 1, suffix: '.tmp', removeEmpty: false },
    { directory: 'sharing', depth: 0, suffix: '.tmp', removeEmpty: false },
    { directory: 'staging', depth: 2, suffix: '', removeEmpty: true },
];

async function removeIfEmpty(directory: string): Promise<void> {
    try {
        await rmdir(directory);
    } catch (error) {
        if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemErrorCode(error) ?? '')) {
            throw error;
        }
    }
}

async function sweepCorner(corner: Corner, options: SweepOptions, signal: AbortSignal): Promise<number> {
    const { directories, clock, log } = options;
    let removed = 0;
    for await (const { path, segments } of walkFiles(directories[corner.directory], corner.depth)) {
        signal.throwIfAborted();
        if (corner.directory === 'staging' && (isUuid(segments[0]) || segments[0] === LAYER_AREA)) {
            // What lies there has an owner, whatever its age, or is swept as a whole.
            continue;
        }
        const facts = path.endsWith(corner.suffix) ? await unlessMissing(stat(path)) : undefined;
        if (facts === undefined || !isStale(facts.mtimeMs, clock)) {
            continue;
        }
        await unlessMissing(unlink(path));
        if (corner.removeEmpty && segments.length > 1) {
            await removeIfEmpty(dirname(path));
        }
        log.info({ path, size: facts.size }, 'stale file removed');
        removed += 1;
    }
    return removed;
}

/** Removes what jobs have staged that are over, or that nobody knows (jobs-and-imports 9.9). */
async function sweepJobs(options: SweepOptions, signal: AbortSignal): Promise<number> {
    const { directories, isLiveJob, log } = options;
    const names = (await unlessMissing(readdir(directories.staging))) ?? [];
    let removed = 0;
    for (const name of names.filter((one) => isUuid(one) && !isLiveJob(one))) {
        signal.throwIfAborted();
        await rm(join(directories.staging, name), { recursive: true, force: true });
        log.info({ job_uuid: name }, 'staged files of a job removed that is over');
        removed += 1;
    }
    return removed;
}

/**
 * Removes what uploads and writes left behind that a crash cut short a day ago or earlier, and at once what
 * jobs have staged that are over. What goes wrong in one place is logged and does not keep the others from being swept.
 *
 * @throws the reason of `signal`
 */
export async function sweep(options: SweepOptions, signal: AbortSignal): Promise<SweepResult> {
    const log = options.log.child({ component: 'sweep' }, true);
    const inner = { ...options, log };
    let removed = 0;
    let recoverable = 0;
    const tasks: readonly (() => Promise<SweepResult>)[] = [
        () => sweepUploads(inner, signal),
        async () => ({ removed: await sweepJobs(inner, signal), recoverable: 0 }),
        async () => ({ removed: await options.layers.tidy(signal), recoverable: 0 }),
        ...CORNERS.map((corner) => async () => ({
            removed: await sweepCorner(corner, inner, signal),
            recoverable: 0,
        })),
    ];
    for (const task of tasks) {
        signal.throwIfAborted();
        try {
            const result = await task();
            removed += result.removed;
            recoverable += result.recoverable;
        } catch (err) {
            signal.throwIfAborted();
            log.error({ err }, 'sweep failed in one place');
        }
    }
    return { removed, recoverable };
}
