import { stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { unlessMissing } from '../../../base/unless-missing.js';
import { walkFiles } from '../../../base/walk-files.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { areaOf, listFiles, withFile, type FileBytes, type Files } from './backup-files.js';
import { ETC, findBackup } from './manta-tree.js';
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

/** A backup in Manta. */
export class MantaSource implements RestoreSource {
    readonly where: string;
    readonly identity: string;
    readonly #objects: ObjectStore;
    readonly #root: string;
    readonly #parallel: number;
    /** Where files are, below the backup. */
    #places: ReadonlyMap<string, string> = new Map();

    constructor(objects: ObjectStore, root: string, parallel: number) {
        this.where = `${root} at ${objects.url}`;
        this.identity = this.where;
        this.#objects = objects;
        this.#root = root;
        this.#parallel = parallel;
    }

    async list(): Promise<Files> {
        const { files } = await findBackup(this.#objects, this.#root, this.#parallel);
        this.#places = new Map([...files].map(([path, { at }]) => [path, at]));
        return new Map([...files].map(([path, { size }]) => [path, { size }]));
    }

    async read(path: string, use: (file: FileBytes) => Promise<void>): Promise<void> {
        const at = this.#places.get(path) ?? path;
        const opened = await this.#objects.open(posix.join(this.#root, at));
        if (opened === undefined) {
            throw new Error(`${path} is not in the backup any more`);
        }
        try {
            await use({ path, size: opened.size, chunks: opened.stream });
        } finally {
            opened.stream.destroy();
        }
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
