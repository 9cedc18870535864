import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../../base/clock.js';
import { VERSION } from '../../../base/constants.js';
import {
    DIRECTORY_MODE,
    FILE_MODE,
    removeIfPresent,
    syncDirectory,
    writeSynced,
} from '../../../base/durable-files.js';
import { systemErrorCode } from '../../../base/errors.js';
import { forEachParallel } from '../../../base/parallel.js';
import { SyncedFile } from '../../../base/synced-file.js';
import { MARKER_FRESH_MS } from '../../../maintenance/owner-marker.js';
import { ChangedError, listFiles, withFile, type FileBytes, type Files } from './backup-files.js';
import type { BackupTarget } from './backup-target.js';
import { md5Of } from './manta-tree.js';
import {
    listSnapshots,
    nextName,
    SNAPSHOT_FILE,
    stampOf,
    type Snapshot,
    type SnapshotFacts,
} from './snapshots.js';

/** What a {@link SnapshotTarget} is made from. */
export interface SnapshotTargetOptions {
    /** Directory of all snapshots. */
    readonly destination: string;
    /** What tells this installation from others. */
    readonly instance: string;
    /** How many snapshots stay. */
    readonly keep: number;
    /** Go on although another installation has made the last snapshot not long ago. */
    readonly force: boolean;
    readonly parallel: number;
    readonly signal: AbortSignal;
    /** Told of what is odd, but keeps nobody from making a snapshot. */
    readonly onNote: (text: string) => void;
}

/** Where a file system makes no further link to a file: it is copied instead. */
const NO_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS']);
const PARTIAL = '.partial-';
/** Clocks of hosts that use a directory in turn differ a little, and names are a second apart at least. */
const CLOCK_SLACK_MS = 60_000;

/** Writes a new file with a time of its own, and syncs it. @throws Error also when other bytes came than were announced */
export async function writeCopy(path: string, { size, mtimeMs, chunks }: FileBytes): Promise<void> {
    const handle = await open(path, 'wx', FILE_MODE);
    const file = new SyncedFile(handle);
    let written = 0;
    try {
        for await (const chunk of chunks) {
            written += chunk.length;
            await file.write(chunk);
        }
        if (written !== size) {
            throw new ChangedError();
        }
        if (mtimeMs !== undefined) {
            await handle.utimes(mtimeMs / 1000, mtimeMs / 1000);
        }
        await file.finish();
    } catch (error) {
        await file.close().catch(() => undefined);
        await removeIfPresent(path).catch(() => undefined);
        throw error;
    }
}

/**
 * Keeps snapshots in a directory, each a whole tree in which unchanged files are links to those of the one
 * before. A snapshot gets its name when it is complete and on stable storage.
 */
export class SnapshotTarget implements BackupTarget {
    readonly where: string;
    readonly #options: SnapshotTargetOptions;
    readonly #partial: string;
    readonly #directories = new Set<string>();
    #last: Snapshot | undefined;

    constructor(options: SnapshotTargetOptions) {
        const { destination, instance } = options;
        this.#options = options;
        this.where = destination;
        this.#partial = join(destination, `${PARTIAL}${instance}`);
    }

    async open(): Promise<Files> {
        const { destination, instance, force } = this.#options;
        // Not made: it may be the place of a disk that is not there.
        if (!(await stat(destination)).isDirectory()) {
            throw new Error(`${destination} is no directory`);
        }
        this.#last = (await listSnapshots(destination)).at(-1);
        const facts = this.#last?.facts;
        this.#noteFuture();
        const isForeign = facts !== undefined && facts.instance !== instance;
        // As with the marker in Manta: what nobody has added to for long is taken over.
        if (isForeign && !force && systemClock.now() - Date.parse(facts.at) < MARKER_FRESH_MS) {
            throw new Error(
                `another installation, on ${facts.host}, has made a snapshot in ${destination} at ${facts.at}: ` +
                    'if it is gone, see --force',
            );
        }
        return this.#last === undefined ? new Map() : await listFiles(this.#last.directory);
    }

    async begin(): Promise<void> {
        await rm(this.#partial, { recursive: true, force: true });
        await this.#makeDirectory(this.#partial);
    }

    async hasBytes(file: FileBytes): Promise<boolean> {
        const md5 = await md5Of(file);
        let same = false;
        await withFile(this.#lastDirectory, file.path, async (kept) => {
            same = kept.size === file.size && (await md5Of(kept)) === md5;
        });
        return same;
    }

    async keep(path: string): Promise<void> {
        const to = await this.#place(path);
        try {
            await link(join(this.#lastDirectory, path), to);
        } catch (error) {
            if (!NO_LINK.has(systemErrorCode(error) ?? '')) {
                throw error;
            }
            await withFile(this.#lastDirectory, path, (file) => writeCopy(to, file));
        }
    }

    async put(file: FileBytes): Promise<void> {
        const to = await this.#place(file.path);
        // Kept, or stored already in this run, and found to have changed since.
        await removeIfPresent(to);
        await writeCopy(to, file);
    }

    /** Nobody sees a snapshot before it is complete. */
    putForRecord(file: FileBytes): Promise<void> {
        return this.put(file);
    }

    async discard(path: string): Promise<void> {
        await removeIfPresent(join(this.#partial, path));
    }

    remove(path: string): Promise<void> {
        return this.discard(path);
    }

    async commit(files: Files): Promise<void> {
        const { destination, parallel } = this.#options;
        const bytes = [...files.values()].reduce((sum, { size }) => sum + size, 0);
        const facts: SnapshotFacts = {
            instance: this.#options.instance,
            host: hostname(),
            app: `imgapiadm ${VERSION}`,
            at: new Date(systemClock.now()).toISOString(),
            files: files.size,
            bytes,
        };
        await forEachParallel(this.#directories, parallel, syncDirectory);
        await writeSynced(join(this.#partial, SNAPSHOT_FILE), `${JSON.stringify(facts)}\n`);
        await syncDirectory(this.#partial);
        const name = nextName(await readdir(destination), systemClock.now());
        await rename(this.#partial, join(destination, name));
        await syncDirectory(destination);
        await this.#removeOld(name);
    }

    async abandon(): Promise<void> {
        await rm(this.#partial, { recursive: true, force: true }).catch(() => undefined);
    }

    #noteFuture(): void {
        const { name } = this.#last ?? {};
        if (name !== undefined && (stampOf(name) ?? 0) > systemClock.now() + CLOCK_SLACK_MS) {
            this.#options.onNote(
                `the last snapshot, ${name}, is later than now: look at the clock; new ones are named after it`,
            );
        }
    }

    get #lastDirectory(): string {
        return this.#last?.directory ?? this.#partial;
    }

    async #makeDirectory(path: string): Promise<void> {
        if (this.#directories.has(path)) {
            return;
        }
        if (path !== this.#partial) {
            await this.#makeDirectory(dirname(path));
        }
        try {
            await mkdir(path, { mode: DIRECTORY_MODE });
        } catch (error) {
            if (systemErrorCode(error) !== 'EEXIST') {
                throw error;
            }
        }
        // On stable storage only when all is: there are too many to wait for each.
        this.#directories.add(path);
    }

    async #place(path: string): Promise<string> {
        this.#options.signal.throwIfAborted();
        const to = join(this.#partial, path);
        await this.#makeDirectory(dirname(to));
        return to;
    }

    /** Those above the number to keep; one whose file is gone is no snapshot, wherever removing it is cut off. */
    async #removeOld(newest: string): Promise<void> {
        const { destination, keep, instance } = this.#options;
        const others = (await listSnapshots(destination)).filter(({ name }) => name !== newest);
        for (const { directory } of others.slice(0, Math.max(0, others.length + 1 - keep))) {
            const aside = join(destination, `${PARTIAL}${instance}`);
            await rename(directory, aside);
            await rm(aside, { recursive: true, force: true });
        }
    }
}
