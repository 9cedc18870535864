import { stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { unlessMissing } from '../../../base/unless-missing.js';
import { walkFiles } from '../../../base/walk-files.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { areaOf, listFiles, withFile, type FileBytes, type Files } from './backup-files.js';
import { findBackup } from './find-backup.js';
import { ETC, isOfImage, waitingAt, type StoredFile } from './manta-tree.js';
import { listSnapshots, readSnapshot, type Snapshot } from './snapshots.js';

/** Where a restore comes from. */
export interface RestoreSource {
    /** For people. */
    readonly where: string;
    /** Tells this backup from others, also from one that was in the same place before. */
    readonly identity: string;
    /** What is there; nothing: there is no backup. */
    list(): Promise<Files>;
    /** Has the bytes of a file used. @throws Error when they cannot be had as they were stored */
    read(path: string, use: (file: FileBytes) => Promise<void>): Promise<void>;
}

/** What a {@link MantaSource} is made from. */
export interface MantaSourceOptions {
    readonly objects: ObjectStore;
    /** `<rootDir>/backup`. */
    readonly root: string;
    /** Calls at the same time. */
    readonly parallel: number;
    /** Told of what is odd. */
    readonly onNote: (text: string) => void;
    /** Told of what is wrong in the backup. */
    readonly onProblem: (path: string, problem: string) => void;
}

/** A backup in Manta. */
export class MantaSource implements RestoreSource {
    readonly where: string;
    readonly identity: string;
    readonly #options: MantaSourceOptions;
    #files: ReadonlyMap<string, StoredFile> = new Map();

    constructor(options: MantaSourceOptions) {
        this.where = `${options.root} at ${options.objects.url}`;
        this.identity = this.where;
        this.#options = options;
    }

    async list(): Promise<Files> {
        const { objects, root, parallel, onNote, onProblem } = this.#options;
        const { files, waiting, broken } = await findBackup(objects, root, parallel);
        if (waiting.length > 0) {
            onNote(
                `a backup to ${this.where} is under way, or was broken off: ` +
                    'each image it was about to replace is restored as it was, or as it is to be',
            );
        }
        for (const { record, problem } of broken) {
            onProblem(waitingAt(record), `${problem}; the image is not restored`);
        }
        this.#files = files;
        return new Map([...files].map(([path, { size }]) => [path, { size }]));
    }

    async read(path: string, use: (file: FileBytes) => Promise<void>): Promise<void> {
        const { objects, root } = this.#options;
        const { at = path, etag } = this.#files.get(path) ?? {};
        const opened = await objects.open(posix.join(root, at));
        if (opened === undefined) {
            throw new Error(`${path} is not in the backup any more: if one is under way, wait until it ends`);
        }
        try {
            // What belongs together must be of one moment.
            if (isOfImage(path) && opened.etag !== etag && (await this.#etagOf(at)) !== etag) {
                throw new Error(
                    `${path} was replaced in the backup meanwhile: wait until the one under way ends`,
                );
            }
            await use({ path, size: opened.size, chunks: opened.stream });
        } finally {
            opened.stream.destroy();
        }
    }

    /** As a listing says it, which may be written in another way than in an answer. */
    async #etagOf(at: string): Promise<string | undefined> {
        const { objects, root } = this.#options;
        const { dir, base } = posix.parse(posix.join(root, at));
        for await (const { name, etag } of objects.list(dir)) {
            if (name === base) {
                return etag;
            }
        }
        return undefined;
    }
}

/** A snapshot in a directory. */
export class SnapshotSource implements RestoreSource {
    readonly where: string;
    readonly identity: string;
    readonly #directory: string;

    private constructor({ directory, name, facts }: Snapshot) {
        this.where = directory;
        this.identity = [directory, name, facts.instance, facts.at].join(' ');
        this.#directory = directory;
    }

    /**
     * Finds a snapshot: the directory itself, or the newest one in it.
     *
     * @throws Error when there is no such directory, or no snapshot in it
     */
    static async find(directory: string): Promise<SnapshotSource> {
        if ((await unlessMissing(stat(directory)))?.isDirectory() !== true) {
            throw new Error(`there is no directory ${directory}`);
        }
        const found =
            (await readSnapshot(directory, basename(directory))) ?? (await listSnapshots(directory)).at(-1);
        if (found === undefined) {
            throw new Error(`there is no complete snapshot in ${directory}`);
        }
        return new SnapshotSource(found);
    }

    async list(): Promise<Files> {
        const files = new Map(await listFiles(this.#directory));
        for await (const { path, segments } of walkFiles(join(this.#directory, ETC), 3)) {
            files.set([ETC, ...segments].join('/'), { size: (await stat(path)).size });
        }
        return files;
    }

    async read(path: string, use: (file: FileBytes) => Promise<void>): Promise<void> {
        if ((await withFile(this.#directory, path, use)) === undefined) {
            throw new Error(`${path} is not in the snapshot any more`);
        }
    }
}

/** Files that are no settings. */
export function dataOf(files: Files): Files {
    return new Map([...files].filter(([path]) => areaOf(path) !== undefined));
}
