import { lchown, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { startDigest } from '../../../base/digests/one-digest.js';
import { DIRECTORY_MODE, syncDirectory, writeFileDurably } from '../../../base/durable-files.js';
import { systemErrorCode } from '../../../base/errors.js';
import { forEachParallel } from '../../../base/parallel.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Owner } from '../offline/act-as-owner.js';
import { ownedDirectory, ownNewDirectory, requireNoLinks } from '../offline/own-directory.js';
import {
    areaOf,
    AREAS,
    isSame,
    listArea,
    pathsOf,
    readSmallFile,
    statFile,
    uuidOf,
    withFile,
    type Files,
    type KeptFile,
} from './backup-files.js';
import { localFilesOf, type NamedFile } from './record-files.js';
import type { RestoreSource } from './restore-source.js';
import { writeCopy } from './snapshot-target.js';

/** Where files wait until all of them have come; below the base directory, so on its file system. */
const STAGING = 'restore.tmp';
/** Says of which backup the files are that have come. */
const ORIGIN = 'source';
/** Says that all files had come, and from where. */
const MOVING = 'moving';

/** What a {@link RestoreRun} is made from. */
export interface RestoreRunOptions {
    /** The base directory. */
    readonly base: string;
    readonly source: RestoreSource;
    /** What to restore of it. */
    readonly files: Files;
    /** Also over data that is there. */
    readonly force: boolean;
    /** Compare each file with the SHA-1 of its record. */
    readonly checksum: boolean;
    /** Files at the same time. */
    readonly parallel: number;
    /** Whose the files are to be; absent: this process's user's. */
    readonly owner: Owner | undefined;
    readonly signal: AbortSignal;
    readonly onProblem: (path: string, problem: string) => void;
}

/** What a run has done so far. */
export interface RestoreCounts {
    fetched: number;
    fetchedBytes: number;
    /** Of all files, those that came in an earlier run included. */
    files: number;
    bytes: number;
}

/** There is data already. */
export class DataInTheWayError extends Error {
    override readonly name = 'DataInTheWayError';
}

/**
 * Puts a backup in place: all of it into a directory aside first, then, by renaming, image files before the
 * records that name them. Broken off anywhere, it goes on from there when it is run again.
 */
export class RestoreRun {
    readonly counts: RestoreCounts = { fetched: 0, fetchedBytes: 0, files: 0, bytes: 0 };
    readonly #options: RestoreRunOptions;
    readonly #staging: string;
    readonly #made = new Set<string>();
    #isMoving = false;

    constructor(options: RestoreRunOptions) {
        this.#options = options;
        this.#staging = join(options.base, STAGING);
    }

    /** Brings all files into the directory aside. @throws DataInTheWayError, or what the source or the disk fails with */
    async fetch(): Promise<void> {
        const { files, parallel, signal } = this.#options;
        await this.#prepare();
        const isOfImage = ([path]: readonly [string, KeptFile]): boolean => areaOf(path) === 'images';
        // Records first: they tell whether an image file of an earlier run is the one they name.
        for (const part of [[...files].filter((each) => !isOfImage(each)), [...files].filter(isOfImage)]) {
            await forEachParallel(part, parallel, async ([path, file]) => {
                signal.throwIfAborted();
                if (!(await this.#isHere(path, file))) {
                    await this.#fetchFile(path);
                    this.counts.fetched += 1;
                    this.counts.fetchedBytes += file.size;
                }
                this.counts.files += 1;
                this.counts.bytes += file.size;
            });
        }
        await this.#verify();
    }

    /** Puts everything in place. No server may run. @throws the file system's error */
    async move(): Promise<void> {
        const { source, base, owner } = this.#options;
        if (!this.#isMoving) {
            await this.#syncDirectories();
            await writeFileDurably(join(this.#staging, MOVING), source.where, { owner });
        }
        // Records are the last area: none is in place before its files.
        for (const area of AREAS) {
            await moveInto(join(this.#staging, area), join(base, area), owner);
        }
        await rm(this.#staging, { recursive: true, force: true });
        await syncDirectory(base);
    }

    /** @throws DataInTheWayError */
    async #prepare(): Promise<void> {
        const { base, source, force, owner } = this.#options;
        for (const name of [...AREAS, STAGING]) {
            await requireNoLinks(join(base, name), owner);
        }
        const from = await unlessMissing(readFile(join(this.#staging, MOVING), 'utf8'));
        const origin = await unlessMissing(readFile(join(this.#staging, ORIGIN), 'utf8'));
        this.#isMoving = from === source.where && [undefined, source.identity].includes(origin);
        if (from !== undefined && !this.#isMoving) {
            throw new DataInTheWayError(
                `a restore from ${from} was broken off: end it with that, or remove ${this.#staging}`,
            );
        }
        if (!this.#isMoving && !force) {
            const [images, records] = await Promise.all([
                listArea(base, 'images'),
                listArea(base, 'manifests'),
            ]);
            if (images.size + records.size > 0) {
                throw new DataInTheWayError(
                    `${base} has data already (${records.size} records, ${images.size} image files): ` +
                        'with --force what the backup has replaces what has the same name, and the rest stays',
                );
            }
        }
        if (!this.#isMoving && origin !== source.identity) {
            // Of another backup: nothing of it must get among the files of this one.
            await rm(this.#staging, { recursive: true, force: true });
        }
        await this.#makeDirectory(this.#staging);
        await writeFileDurably(join(this.#staging, ORIGIN), source.identity, { owner });
    }

    /** Whether an image file came in an earlier run, waits or is in place already, and is what its record says. */
    async #isHere(path: string, file: KeptFile): Promise<boolean> {
        if (areaOf(path) !== 'images') {
            return false;
        }
        for (const base of [this.#staging, ...(this.#isMoving ? [this.#options.base] : [])]) {
            const found = await statFile(base, path);
            if (found !== undefined) {
                const isLike = file.mtimeMs === undefined ? found.size === file.size : isSame(found, file);
                return isLike && (await this.#isAsRecorded(base, path, found.size));
            }
        }
        return false;
    }

    async #isAsRecorded(base: string, path: string, size: number): Promise<boolean> {
        const record = await readSmallFile(this.#staging, `manifests/${uuidOf(path) ?? ''}.raw`);
        const named = localFilesOf(record?.bytes.toString() ?? '') ?? [];
        const sha1 = named.find(({ name }) => name === basename(path))?.sha1;
        return sha1 !== undefined && (await sha1Of(base, path, size)) === sha1;
    }

    async #fetchFile(path: string): Promise<void> {
        const to = join(this.#staging, path);
        const part = `${to}.part`;
        await this.#makeDirectory(dirname(to));
        await rm(part, { force: true });
        const { source, owner } = this.#options;
        await source.read(path, (file) => writeCopy(part, file));
        if (owner !== undefined) {
            await lchown(part, owner.uid, owner.gid);
        }
        await rename(part, to);
    }

    async #makeDirectory(path: string): Promise<void> {
        if (this.#made.has(path)) {
            return;
        }
        if (path !== this.#staging) {
            await this.#makeDirectory(dirname(path));
        }
        const { owner } = this.#options;
        await requireNoLinks(path, owner);
        try {
            await mkdir(path, { mode: DIRECTORY_MODE });
        } catch (error) {
            if (systemErrorCode(error) !== 'EEXIST') {
                throw error;
            }
        }
        // Also one that a run had just made when it was killed.
        await ownNewDirectory(path, owner);
        this.#made.add(path);
    }

    /** Those made by earlier runs, too. */
    async #syncDirectories(): Promise<void> {
        const { files, parallel } = this.#options;
        const directories = new Set<string>();
        for (const path of files.keys()) {
            for (let above = dirname(path); above !== '.'; above = dirname(above)) {
                directories.add(above);
            }
        }
        await forEachParallel(directories, parallel, async (directory) => {
            await unlessMissing(syncDirectory(join(this.#staging, directory)));
        });
    }

    /** Compares files with what their records say of them. */
    async #verify(): Promise<void> {
        const { files, parallel, signal } = this.#options;
        const records = [...files.keys()].filter((path) => areaOf(path) === 'manifests');
        await forEachParallel(records, parallel, async (path) => {
            signal.throwIfAborted();
            const record = await this.#inEither((base) => readSmallFile(base, path));
            for (const named of localFilesOf(record?.bytes.toString() ?? '') ?? []) {
                await this.#verifyFile(uuidOf(path) ?? '', named);
            }
        });
    }

    async #verifyFile(uuid: string, { name, size, sha1 }: NamedFile): Promise<void> {
        const { onProblem, checksum } = this.#options;
        for (const path of pathsOf(uuid, name)) {
            const found = await this.#inEither((base) => statFile(base, path));
            if (found === undefined) {
                continue;
            }
            if (size !== undefined && found.size !== size) {
                onProblem(path, `it has ${found.size} bytes, its record says ${size}`);
            } else if (checksum && sha1 !== undefined) {
                const actual = await this.#inEither((base) => sha1Of(base, path, found.size));
                if (actual !== sha1) {
                    onProblem(path, `its SHA-1 is ${actual ?? 'unknown'}, its record says ${sha1}`);
                }
            }
            return;
        }
        onProblem(pathsOf(uuid, name)[0], 'its record names it, but it is not in the backup');
    }

    /** Where a file is now: aside, or in place. */
    async #inEither<T>(look: (base: string) => Promise<T | undefined>): Promise<T | undefined> {
        return (await look(this.#staging)) ?? (await look(this.#options.base));
    }
}

async function sha1Of(base: string, path: string, size: number): Promise<string | undefined> {
    let sha1: string | undefined;
    await withFile(base, path, async ({ chunks }) => {
        const digest = startDigest('sha1', size);
        try {
            for await (const chunk of chunks) {
                await digest.push(chunk);
            }
            sha1 = await digest.end();
        } catch (error) {
            digest.cancel();
            throw error;
        }
    });
    return sha1;
}

/** Moves what is in a directory into another one: what is not there as a whole, the rest file by file. */
async function moveInto(from: string, to: string, owner: Owner | undefined): Promise<void> {
    const entries = await unlessMissing(readdir(from, { withFileTypes: true }));
    if (entries === undefined) {
        return;
    }
    await ownedDirectory(to, owner);
    for (const entry of entries) {
        const [source, target] = [join(from, entry.name), join(to, entry.name)];
        const isInTheWay = entry.isDirectory() && (await unlessMissing(stat(target))) !== undefined;
        if (isInTheWay) {
            await moveInto(source, target, owner);
        } else {
            await rename(source, target);
        }
    }
    await syncDirectory(to);
}
