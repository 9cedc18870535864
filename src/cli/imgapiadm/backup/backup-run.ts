import { isDeepStrictEqual } from 'node:util';
import { forEachParallel } from '../../../base/parallel.js';
import {
    areaOf,
    ChangedError,
    isSame,
    listArea,
    pathsOf,
    readSmallFile,
    statFile,
    UnreadableError,
    uuidOf,
    withFile,
    type Area,
    type FileBytes,
    type Files,
    type KeptFile,
} from './backup-files.js';
import type { BackupTarget } from './backup-target.js';
import { isOfEtc } from './manta-tree.js';
import { localFilesOf, type NamedFile } from './record-files.js';
import { requirePlausible } from './too-much-gone.js';

/** What a {@link BackupRun} is made from. */
export interface BackupRunOptions {
    /** The base directory. */
    readonly base: string;
    readonly target: BackupTarget;
    /** Areas of this backup; `manifests` is always one. */
    readonly areas: readonly Area[];
    /** What is kept of `etc`. */
    readonly etc: readonly FileBytes[];
    /** Compare bytes instead of times. */
    readonly checksum: boolean;
    /** Delete however much is gone. */
    readonly force: boolean;
    readonly dryRun: boolean;
    /** Files at the same time. */
    readonly parallel: number;
    readonly signal: AbortSignal;
    /** Told of what is wrong with a file; the run goes on. */
    readonly onProblem: (path: string, problem: string) => void;
    readonly onCopied: (path: string) => void;
}

/** What a run has done so far. */
export interface BackupCounts {
    copied: number;
    copiedBytes: number;
    kept: number;
    removed: number;
    problems: number;
    records: number;
    /** Bytes of all files that are to be looked at. */
    allBytes: number;
    /** Bytes of those that have been. */
    doneBytes: number;
    files: number;
    allFiles: number;
}

/** How often something is read again that is changed again and again meanwhile. */
const MAX_TRIES = 10;

/**
 * Makes a backup what the base directory is, beside a running server (operations 3.2): files first, records
 * after them, deletions last.
 *
 * A record never names other bytes than those beside it: after its files are in the backup it is read again,
 * and if it has changed so may they have. That suffices, since a server takes a file out of its record
 * before it puts others in its place. Deleting, too, a record goes before its files.
 */
export class BackupRun {
    readonly counts: BackupCounts = {
        copied: 0,
        copiedBytes: 0,
        kept: 0,
        removed: 0,
        problems: 0,
        records: 0,
        allBytes: 0,
        doneBytes: 0,
        files: 0,
        allFiles: 0,
    };
    readonly #options: BackupRunOptions;
    /** What the last backup has. */
    #last: Files = new Map();
    /** What this one has. */
    readonly #placed = new Map<string, KeptFile>();
    /** Gone here, but a record names it: the backup's is the last one there is. */
    readonly #missed = new Set<string>();
    /** There, but nobody can read it: what the backup has stays. */
    readonly #unread = new Set<string>();

    constructor(options: BackupRunOptions) {
        this.#options = options;
    }

    /** @throws TooMuchGoneError; Error when the source cannot be listed, or the target fails */
    async run(): Promise<void> {
        const { target, areas, signal, dryRun } = this.#options;
        this.#last = await target.open();
        try {
            const source = new Map<string, KeptFile>();
            for (const area of areas) {
                signal.throwIfAborted();
                for (const [path, file] of await listArea(this.#options.base, area)) {
                    source.set(path, file);
                }
            }
            if (!this.#options.force) {
                requirePlausible(source, this.#last, areas);
            }
            this.#count(source);
            await this.#copyAll(source);
            await this.#removeGone();
            await (dryRun ? target.abandon(this.#last) : target.commit(this.#placed));
        } catch (error) {
            await target.abandon(this.#known());
            throw error;
        }
    }

    /** Everything whose state in the target is known. */
    #known(): Files {
        return new Map([...this.#last, ...this.#placed]);
    }

    #count(source: Files): void {
        this.counts.allFiles = source.size;
        this.counts.allBytes = [...source.values()].reduce((sum, { size }) => sum + size, 0);
    }

    async #copyAll(source: Files): Promise<void> {
        const paths = [...source.keys()];
        const inArea = (area: Area): string[] => paths.filter((path) => areaOf(path) === area);
        const images = inArea('images');
        // What replaces a file goes beside its record: in between the two would not match.
        const isReplaced = (path: string): boolean =>
            this.#last.has(path) && !this.#isUnchanged(path, source);
        const replaced = images.filter(isReplaced);
        await this.#each(
            images.filter((path) => !isReplaced(path)),
            (path) => this.#place(path),
        );
        await this.#each(inArea('manifests'), (path) => this.#placeRecord(path));
        // Beside a record that stays as the backup has it, so do they.
        await this.#each(
            replaced.filter((path) => !this.#hasUnreadRecord(path)),
            (path) => this.#place(path),
        );
        await this.#each([...inArea('archive'), ...inArea('sharing')], (path) => this.#place(path));
        await this.#each(this.#options.etc, (file) => this.#put(file));
    }

    #isUnchanged(path: string, source: Files): boolean {
        const file = source.get(path);
        return file !== undefined && isSame(file, this.#last.get(path));
    }

    /** What cannot be read is told; what fails with the target ends the run. */
    async #each<T>(items: readonly T[], task: (item: T) => Promise<unknown>): Promise<void> {
        const { parallel, signal } = this.#options;
        await forEachParallel(items, parallel, async (item) => {
            signal.throwIfAborted();
            await task(item);
        });
    }

    #problem(path: string, problem: string): void {
        this.counts.problems += 1;
        this.#options.onProblem(path, problem);
    }

    /**
     * Has a file of the base directory in the backup as it is now. One that cannot be read is told of.
     *
     * @returns whether it is there
     */
    async #place(path: string): Promise<boolean> {
        if (this.#unread.has(path)) {
            return true;
        }
        for (let tries = 1; ; tries += 1) {
            try {
                return await this.#placeReadable(path);
            } catch (error) {
                const isChanged = error instanceof ChangedError;
                if (!isChanged && !(error instanceof UnreadableError)) {
                    throw error;
                }
                if (!isChanged || tries === MAX_TRIES) {
                    this.#unread.add(path);
                    this.#problem(path, error.message);
                    return true;
                }
            }
        }
    }

    async #placeReadable(path: string): Promise<boolean> {
        const { base } = this.#options;
        const now = await statFile(base, path);
        if (now === undefined) {
            return false;
        }
        if (isSame(now, this.#placed.get(path))) {
            return true;
        }
        if (!this.#placed.has(path) && (await this.#isKept(path, now))) {
            await this.#keep(path, now);
            return true;
        }
        return (await withFile(base, path, (file) => this.#put(file))) !== undefined;
    }

    /** Whether the last backup has the file as it is. */
    async #isKept(path: string, now: KeptFile): Promise<boolean> {
        const { base, checksum, target } = this.#options;
        const last = this.#last.get(path);
        if (last?.size !== now.size) {
            return false;
        }
        if (!checksum && last.mtimeMs !== undefined) {
            return isSame(now, last);
        }
        let same = false;
        await withFile(base, path, async (file) => {
            same = isSame(file, now) && (await target.hasBytes(file));
        });
        return same;
    }

    async #keep(path: string, now: KeptFile): Promise<void> {
        if (!this.#options.dryRun) {
            await this.#options.target.keep(path);
        }
        this.#placed.set(path, now);
        this.counts.kept += 1;
        this.#done(now.size);
    }

    async #put(file: FileBytes): Promise<void> {
        const { target, dryRun, onCopied } = this.#options;
        if (!dryRun) {
            await target.put(file);
        }
        const { path, size, mtimeMs } = file;
        const isFirst = !this.#placed.has(path);
        this.#placed.set(path, { size, ...(mtimeMs === undefined ? {} : { mtimeMs }) });
        this.counts.copied += 1;
        this.counts.copiedBytes += size;
        if (isFirst) {
            this.#done(size);
        }
        onCopied(path);
    }

    #done(size: number): void {
        this.counts.files += 1;
        this.counts.doneBytes += size;
    }

    /** Has a record in the backup, after its files. One that cannot be read is told of. */
    async #placeRecord(path: string): Promise<void> {
        try {
            await this.#placeReadableRecord(path);
        } catch (error) {
            if (!(error instanceof UnreadableError)) {
                throw error;
            }
            this.#unread.add(path);
            this.#problem(path, error.message);
        }
    }

    async #placeReadableRecord(path: string): Promise<void> {
        const { base } = this.#options;
        const uuid = uuidOf(path) ?? '';
        for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
            const before = await readSmallFile(base, path);
            if (before === undefined) {
                return;
            }
            const files = localFilesOf(before.bytes.toString());
            const missing = await this.#placeFilesOf(uuid, files);
            const record = await readSmallFile(base, path);
            const names = record && localFilesOf(record.bytes.toString());
            // In this order: as long as a file stays the same, so does what a record says of it.
            if (
                record !== undefined &&
                isDeepStrictEqual(names, files) &&
                isDeepStrictEqual(await this.#placeFilesOf(uuid, files, 'look'), missing)
            ) {
                await this.#storeRecord(record);
                missing.forEach((name) => this.#miss(uuid, name));
                return;
            }
        }
        this.#unread.add(path);
        this.#problem(path, 'it was changed again and again meanwhile');
    }

    #hasUnreadRecord(path: string): boolean {
        return this.#unread.has(`manifests/${uuidOf(path) ?? ''}.raw`);
    }

    async #storeRecord(record: FileBytes): Promise<void> {
        this.counts.records += 1;
        if (await this.#isKept(record.path, record)) {
            await this.#keep(record.path, record);
        } else {
            await this.#put(record);
        }
    }

    /**
     * Has the files of a record in the backup as they are.
     *
     * @param mode `look`: only tells which are not
     * @returns names of files that are not there
     */
    async #placeFilesOf(
        uuid: string,
        files: readonly NamedFile[],
        mode: 'place' | 'look' = 'place',
    ): Promise<readonly string[]> {
        const isThere = (path: string): Promise<boolean> =>
            mode === 'place' ? this.#place(path) : this.#isPlaced(path);
        const missing: string[] = [];
        for (const { name } of files) {
            const [usual, old] = pathsOf(uuid, name);
            if (!(await isThere(usual)) && !(await isThere(old))) {
                missing.push(name);
            }
        }
        return missing;
    }

    async #isPlaced(path: string): Promise<boolean> {
        const now = await statFile(this.#options.base, path);
        return now !== undefined && (this.#unread.has(path) || isSame(now, this.#placed.get(path)));
    }

    #miss(uuid: string, name: string): void {
        const kept = pathsOf(uuid, name).find((path) => this.#last.has(path));
        this.#problem(
            pathsOf(uuid, name)[0],
            kept === undefined
                ? 'its record names it, but it is not there'
                : 'it is lost; the backup keeps what it has of it',
        );
        if (kept !== undefined) {
            this.#missed.add(kept);
        }
    }

    /** Records first: none must name a file that is not there any more. */
    async #removeGone(): Promise<void> {
        const gone = [...this.#last.keys()].filter(
            (path) =>
                !this.#placed.has(path) && (areaOf(path) === undefined ? isOfEtc(path) : this.#isOurs(path)),
        );
        const isRecord = (path: string): boolean => areaOf(path) === 'manifests';
        await this.#each(gone.filter(isRecord), (path) => this.#remove(path));
        await this.#each(
            gone.filter((path) => !isRecord(path)),
            (path) => this.#remove(path),
        );
    }

    #isOurs(path: string): boolean {
        return this.#options.areas.some((area) => area === areaOf(path));
    }

    async #remove(path: string): Promise<void> {
        const { base, target, dryRun } = this.#options;
        const last = this.#last.get(path);
        // It may have come back since the list was made: the next run has it.
        const isThere = !isOfEtc(path) && (await statFile(base, path)) !== undefined;
        if (last !== undefined && (isThere || this.#missed.has(path) || this.#hasUnreadRecord(path))) {
            // What the backup has is older than what is there, if that is known.
            await this.#keep(path, { size: last.size });
            return;
        }
        if (!dryRun) {
            await target.remove(path);
        }
        this.counts.removed += 1;
    }
}
