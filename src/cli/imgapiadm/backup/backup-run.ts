import { forEachParallel } from '../../../base/parallel.js';
import {
    areaOf,
    listArea,
    statFile,
    type Area,
    type FileBytes,
    type Files,
    type KeptFile,
} from './backup-files.js';
import { placeImage, problemOf, whileChanging } from './image-placing.js';
import { isOfEtc, recordOf } from './manta-tree.js';
import { Placement, type BackupCounts, type PlacementOptions } from './placement.js';
import { requirePlausible } from './too-much-gone.js';

/** What a {@link BackupRun} is made from. */
export interface BackupRunOptions extends PlacementOptions {
    /** Areas of this backup; `manifests` is always one. */
    readonly areas: readonly Area[];
    /** What is kept of `etc`. */
    readonly etc: readonly FileBytes[];
    /** Delete however much is gone. */
    readonly force: boolean;
    /** Files at the same time. */
    readonly parallel: number;
    readonly signal: AbortSignal;
    /** Told of what is wrong with a file; the run goes on. */
    readonly onProblem: (path: string, problem: string) => void;
}

/**
 * Makes a backup what the base directory is, beside a running server (operations 3.2): image by image the
 * files first, then the record; deletions last.
 *
 * A record never names other bytes than those beside it: an image whose files are not what its record says
 * stays in the backup as it was there, files and record, or is left out. Deleting, too, a record goes before
 * its files.
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
    #placement: Placement;
    /** Records of images that stay as the last backup has them. */
    readonly #left = new Set<string>();

    constructor(options: BackupRunOptions) {
        this.#options = options;
        this.#placement = new Placement(options, new Map(), this.counts);
    }

    /** @throws TooMuchGoneError; Error when the source cannot be listed, or the target fails */
    async run(): Promise<void> {
        const { target, areas, signal, dryRun, force } = this.#options;
        const last = await target.open();
        this.#placement = new Placement(this.#options, last, this.counts);
        try {
            const source = new Map<string, KeptFile>();
            for (const area of areas) {
                signal.throwIfAborted();
                for (const [path, file] of await listArea(this.#options.base, area)) {
                    source.set(path, file);
                }
            }
            if (!force) {
                requirePlausible(source, last, areas);
            }
            this.#count(source);
            if (!dryRun) {
                await target.begin();
            }
            await this.#copyAll([...source.keys()]);
            await this.#removeGone();
            await (dryRun ? target.abandon(last) : target.commit(this.#placement.placed));
        } catch (error) {
            // Everything whose state in the target is known.
            await target.abandon(new Map([...last, ...this.#placement.placed]));
            throw error;
        }
    }

    #count(source: Files): void {
        this.counts.allFiles = source.size;
        this.counts.allBytes = [...source.values()].reduce((sum, { size }) => sum + size, 0);
    }

    async #copyAll(paths: readonly string[]): Promise<void> {
        const inArea = (area: Area): string[] => paths.filter((path) => areaOf(path) === area);
        await this.#each(inArea('manifests'), (path) => this.#placeImage(path));
        const { placed } = this.#placement;
        await this.#each(
            inArea('images').filter((path) => !placed.has(path)),
            (path) => this.#placeUnnamed(path),
        );
        await this.#each([...inArea('archive'), ...inArea('sharing')], (path) => this.#place(path));
        await this.#each(this.#options.etc, (file) => this.#placement.put(file));
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

    /** Has an image in the backup. Why it cannot be is told. */
    async #placeImage(record: string): Promise<void> {
        const wrong = await placeImage(this.#placement, record);
        if (wrong.length === 0) {
            return;
        }
        this.#left.add(record);
        const isThere = this.#placement.last.has(record);
        const what = isThere
            ? 'the image stays in the backup as it was'
            : 'the image is left out of the backup';
        for (const { path, problem } of wrong) {
            this.#problem(path, `${problem}; ${what}`);
        }
    }

    /** Has a file of an image in the backup that its record does not name, or that has none. */
    async #placeUnnamed(path: string): Promise<void> {
        const record = recordOf(path);
        const { last, placed } = this.#placement;
        if (this.#left.has(record)) {
            return;
        }
        // Beside a record that has yet to be removed stays what it may name.
        const isNamed = last.has(record) && !placed.has(record);
        if (!isNamed || !(await this.#placement.isReplaced(path))) {
            await this.#place(path);
        }
    }

    /** Has a file of the base directory in the backup as it is now. One that cannot be read is told of. */
    async #place(path: string): Promise<void> {
        try {
            await whileChanging(() => this.#placement.place(path));
        } catch (error) {
            this.#problem(path, problemOf(error));
        }
    }

    /** Records first: none must name a file that is not there any more. */
    async #removeGone(): Promise<void> {
        const { last, placed } = this.#placement;
        const gone = [...last.keys()].filter(
            (path) => !placed.has(path) && (areaOf(path) === undefined ? isOfEtc(path) : this.#isOurs(path)),
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
        const { target, dryRun } = this.#options;
        const last = this.#placement.last.get(path);
        if (last !== undefined && (await this.#stays(path))) {
            await this.#placement.keep(path, last);
            return;
        }
        if (!dryRun) {
            await target.remove(path);
        }
        this.counts.removed += 1;
    }

    /** Whether the backup keeps what it has of a file: it cannot be read, or belongs to an image that stays. */
    async #stays(path: string): Promise<boolean> {
        if (isOfEtc(path)) {
            return false;
        }
        // It may have come back since the list was made: the next run has it.
        const isThere = (await statFile(this.#options.base, path)) !== undefined;
        if (isThere && areaOf(path) === 'manifests') {
            this.#left.add(path);
        }
        return isThere || this.#left.has(recordOf(path));
    }
}
