import { readdir } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type Logger from 'bunyan';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { forEachParallel, forEachParallelToEnd } from '../../base/parallel.js';
import type { RawImage } from '../../manifest/types.js';
import type { StoredImage } from '../database.js';
import { place, type PlacedImage } from '../match.js';
import { ImageIndex } from './image-index.js';
import { isTemporary, recordFileName, uuidOfFile } from './file-names.js';
import type { FileState, Reading, RecordReader } from './record-reader.js';

/** Most files read at the same time (backends 3). */
const PARALLEL_READS = 64;

/** A file of the `manifests` directory that is no record, and why. */
export interface SkippedFile {
    readonly file: string;
    readonly reason: string;
}

/** Tells whether a file still is as it was. */
function isSame(a: FileState | undefined, b: FileState | undefined): boolean {
    return a?.inode === b?.inode && a?.size === b?.size && a?.changed === b?.changed;
}

/**
 * The `manifests` directory in memory: every usable record, indexed, and a list of the files that
 * are none (backends 3). It only reads; who writes a file tells it with {@link put} and {@link drop}.
 */
export class Mirror {
    readonly #directory: string;
    readonly #reader: RecordReader;
    readonly #log: Logger;
    readonly #index = new ImageIndex();
    readonly #skipped = new Map<string, string>();
    /** State of each file when it was last read; what this process wrote itself is not in here. */
    readonly #states = new Map<string, FileState>();
    readonly #readings = new KeyedQueue();
    #lastToken = 0;

    constructor(directory: string, reader: RecordReader, log: Logger) {
        this.#directory = directory;
        this.#reader = reader;
        this.#log = log;
    }

    /** The records. */
    get index(): Pick<ImageIndex, 'get' | 'search' | 'size' | 'images'> {
        return this.#index;
    }

    /** Files that are no records, in order of their names. */
    get skipped(): readonly SkippedFile[] {
        return [...this.#skipped]
            .map(([file, reason]) => ({ file, reason }))
            .sort((a, b) => (a.file < b.file ? -1 : 1));
    }

    /** Whether there is a file for this uuid, but no usable record in it. */
    isSkipped(uuid: string): boolean {
        return this.#skipped.has(recordFileName(uuid));
    }

    /**
     * Reads every record for the first time.
     *
     * @throws the file system's error when the directory or a file in it cannot be read
     */
    async load(): Promise<void> {
        const started = performance.now();
        const records: PlacedImage[] = [];
        await forEachParallel(await this.#listUuids(), PARALLEL_READS, async (uuid) => {
            const reading = await this.#reader.read(uuid);
            this.#remember(uuid, reading);
            if (reading.kind === 'record') {
                records.push(this.#stored(reading.raw));
            }
        });
        this.#index.putAll(records);
        const milliseconds = Math.round(performance.now() - started);
        this.#log.info(
            { loaded: this.#index.size, skipped: this.#skipped.size, milliseconds },
            'loaded local database',
        );
    }

    /**
     * Reads every record whose file has appeared, changed or gone since it was last read.
     *
     * @throws the first error of the file system, when everything that can be read has been
     */
    async scan(): Promise<void> {
        const present = new Set(await this.#listUuids());
        const gone = [...this.#states.keys()].filter((uuid) => !present.has(uuid));
        await forEachParallelToEnd([...present, ...gone], PARALLEL_READS, async (uuid) => {
            if (!isSame(await this.#reader.state(uuid), this.#states.get(uuid))) {
                await this.refresh(uuid);
            }
        });
    }

    /**
     * Reads one record again and tells what is in its place.
     *
     * @throws the file system's error when it cannot be read; what is held then stays
     */
    async refresh(uuid: string): Promise<Reading['kind']> {
        return this.#readings.run(uuid, async () => {
            const reading = await this.#reader.read(uuid);
            this.#take(uuid, reading);
            return reading.kind;
        });
    }

    /** Judges a record by the rules in force: one that breaks them disappears, one that was skipped may appear. */
    async judge(uuid: string): Promise<void> {
        const held = this.#index.get(uuid);
        const problem = held === undefined ? undefined : this.#reader.problemOf(held.raw);
        if (problem !== undefined) {
            this.#index.remove(uuid);
            this.#skip(recordFileName(uuid), problem);
        } else if (held === undefined) {
            await this.refresh(uuid);
        }
    }

    /** Every uuid that has a record or a skipped file. */
    uuids(): readonly string[] {
        const skipped = [...this.#skipped.keys()].map(uuidOfFile).filter((uuid) => uuid !== undefined);
        return [...this.#index.uuids(), ...skipped];
    }

    /** Takes in a record that was just stored. */
    put(raw: RawImage): StoredImage {
        const image = this.#stored(raw);
        this.#skipped.delete(recordFileName(raw.uuid));
        this.#index.put(image);
        return image;
    }

    /** Forgets a record that was just removed. */
    drop(uuid: string): void {
        this.#index.remove(uuid);
        this.#skipped.delete(recordFileName(uuid));
    }

    /** Gives up what only {@link scan} needs; to be called when no scan will follow. */
    endScans(): void {
        this.#states.clear();
    }

    /** Resolves when no file is being read any more. */
    async idle(): Promise<void> {
        await this.#readings.idle();
    }

    #stored(raw: RawImage): PlacedImage {
        this.#lastToken += 1;
        return Object.freeze(place({ raw, token: String(this.#lastToken) }));
    }

    #take(uuid: string, reading: Reading): void {
        this.#remember(uuid, reading);
        if (reading.kind !== 'record') {
            this.#index.remove(uuid);
        } else if (!isDeepStrictEqual(this.#index.get(uuid)?.raw, reading.raw)) {
            this.#index.put(this.#stored(reading.raw));
        }
    }

    #remember(uuid: string, reading: Reading): void {
        const file = recordFileName(uuid);
        if (reading.kind === 'absent') {
            this.#states.delete(uuid);
        } else {
            this.#states.set(uuid, reading.state);
        }
        if (reading.kind === 'skipped') {
            this.#skip(file, reading.reason);
        } else {
            this.#skipped.delete(file);
        }
    }

    #skip(file: string, reason: string): void {
        if (this.#skipped.get(file) !== reason) {
            this.#skipped.set(file, reason);
            this.#log.warn({ file, reason }, 'skipped a file in the manifests directory');
        }
    }

    async #listUuids(): Promise<string[]> {
        const uuids: string[] = [];
        const names = await readdir(this.#directory);
        this.#forgetStrays(new Set(names));
        for (const name of names) {
            const uuid = uuidOfFile(name);
            if (uuid !== undefined) {
                uuids.push(uuid);
            } else if (!isTemporary(name)) {
                this.#skip(name, 'file name is not <uuid>.raw');
            }
        }
        return uuids;
    }

    /** Takes files off the list that were no records by their names and are gone. */
    #forgetStrays(names: ReadonlySet<string>): void {
        for (const file of this.#skipped.keys()) {
            if (uuidOfFile(file) === undefined && !names.has(file)) {
                this.#skipped.delete(file);
            }
        }
    }
}
