import {
    fileOf,
    isSame,
    statFile,
    withFile,
    type FileBytes,
    type Files,
    type KeptFile,
    type SmallFile,
} from './backup-files.js';
import type { BackupTarget } from './backup-target.js';
import { asRecorded, requireSize, type NamedFile } from './record-files.js';

/** What a {@link Placement} is made from. */
export interface PlacementOptions {
    /** The base directory. */
    readonly base: string;
    readonly target: BackupTarget;
    /** Compare bytes instead of times. */
    readonly checksum: boolean;
    readonly dryRun: boolean;
    readonly onCopied: (path: string) => void;
    /** Waits, milliseconds. @throws the reason when the run is to end */
    readonly pause: (ms: number) => Promise<void>;
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

/** How a file gets into a backup. */
interface Way {
    /** What its record says of it; absent: none names it. */
    readonly named?: NamedFile;
}

/** What a backup has, file by file: what of the last one stays, and what is stored anew. */
export class Placement {
    readonly base: string;
    readonly pause: PlacementOptions['pause'];
    /** What the last backup has. */
    readonly last: Files;
    readonly #counts: BackupCounts;
    readonly #options: PlacementOptions;
    /** What this one has. */
    readonly #placed = new Map<string, KeptFile>();
    /** What the record said of that when it was placed. */
    readonly #sha1s = new Map<string, string | undefined>();
    /** What this one has, and the last one had not. */
    readonly #stored = new Set<string>();

    constructor(options: PlacementOptions, last: Files, counts: BackupCounts) {
        this.#options = options;
        this.base = options.base;
        this.pause = options.pause;
        this.last = last;
        this.#counts = counts;
    }

    get placed(): Files {
        return this.#placed;
    }

    /** Has the record of an image in the backup, after its files. */
    async placeRecord(record: SmallFile, files: Iterable<string>): Promise<void> {
        const { path, bytes, mtimeMs } = record;
        const { target } = this.#options;
        const hasBytes = (): Promise<boolean> => target.hasBytes(fileOf(path, bytes, mtimeMs));
        // With what waits for a record it is stored, even if it is the same.
        const isStored = [...files].some((file) => this.#stored.has(file));
        if (!isStored && (await this.#isKept(path, record, hasBytes))) {
            await this.keep(path, record);
        } else {
            await this.put(record);
        }
        this.#counts.records += 1;
    }

    /** Whether the last backup has another file in this place, as far as size and time tell. */
    async isReplaced(path: string): Promise<boolean> {
        const last = this.last.get(path);
        return last !== undefined && !isSame(last, await statFile(this.base, path));
    }

    /**
     * Has a file of the base directory in the backup as it is now. Its size is compared with what its record
     * says, its SHA-1 when it is read: not if size and time are those of the last backup, nor if this one has
     * placed it before, for a record that says the same SHA-1.
     *
     * @returns false: there is none
     * @throws UnreadableError; ChangedError; MismatchError; Error when the target fails
     */
    async place(path: string, way: Way = {}): Promise<boolean> {
        const now = await statFile(this.base, path);
        if (now === undefined) {
            return false;
        }
        if (way.named !== undefined) {
            requireSize(now.size, way.named);
        }
        const sha1 = way.named?.sha1;
        // Placed for another record, it was never compared with this one.
        if (isSame(now, this.#placed.get(path)) && this.#sha1s.get(path) === sha1) {
            return true;
        }
        const isFirst = !this.#placed.has(path);
        if (isFirst && (await this.#isKept(path, now, () => this.#hasBytes(path, now, way)))) {
            await this.keep(path, now);
        } else if ((await withFile(this.base, path, (file) => this.put(file, way))) === undefined) {
            return false;
        }
        this.#sha1s.set(path, sha1);
        return true;
    }

    /** Takes a file over from the last backup. */
    async keep(path: string, { size, mtimeMs }: KeptFile): Promise<void> {
        if (!this.#options.dryRun) {
            await this.#options.target.keep(path);
        }
        this.#placed.set(path, { size, ...(mtimeMs === undefined ? {} : { mtimeMs }) });
        this.#counts.kept += 1;
        this.#done(size);
    }

    async put(file: FileBytes, { named }: Way = {}): Promise<void> {
        const { target, dryRun, onCopied } = this.#options;
        const source = named === undefined ? file : asRecorded(file, named);
        if (!dryRun) {
            await (named === undefined ? target.put(source) : target.putForRecord(source));
        }
        const { path, size, mtimeMs } = file;
        const isFirst = !this.#placed.has(path);
        this.#placed.set(path, { size, ...(mtimeMs === undefined ? {} : { mtimeMs }) });
        this.#stored.add(path);
        this.#counts.copied += 1;
        this.#counts.copiedBytes += size;
        if (isFirst) {
            this.#done(size);
        }
        onCopied(path);
    }

    /** Has in the backup what the last one has, if anything. */
    async takeBack(path: string): Promise<void> {
        if (!this.#placed.has(path)) {
            return;
        }
        if (!this.#options.dryRun) {
            await this.#options.target.discard(path);
        }
        this.#placed.delete(path);
        this.#sha1s.delete(path);
        this.#stored.delete(path);
    }

    /** Whether the last backup has the file as it is. */
    async #isKept(path: string, now: KeptFile, hasBytes: () => Promise<boolean>): Promise<boolean> {
        const last = this.last.get(path);
        if (last?.size !== now.size) {
            return false;
        }
        return this.#options.checksum || last.mtimeMs === undefined ? await hasBytes() : isSame(now, last);
    }

    async #hasBytes(path: string, now: KeptFile, { named }: Way): Promise<boolean> {
        let same = false;
        await withFile(this.base, path, async (file) => {
            const source = named === undefined ? file : asRecorded(file, named);
            same = isSame(file, now) && (await this.#options.target.hasBytes(source));
        });
        return same;
    }

    #done(size: number): void {
        this.#counts.files += 1;
        this.#counts.doneBytes += size;
    }
}
