import { posix } from 'node:path';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { AREAS, pathsOf, uuidOf } from './backup-files.js';
import { GoneMeanwhileError, problemOfBegun } from './begun-images.js';
import {
    ETC,
    isOfImage,
    listAreas,
    NEXT,
    NEXT_AREAS,
    recordOf,
    waitingAt,
    type ListedFile,
    type StoredFile,
} from './manta-tree.js';

/** How often images are looked at that are replaced meanwhile. */
const MAX_ROUNDS = 10;

/** An image in the middle of being replaced that can be neither the old one nor the new one. */
export interface BrokenImage {
    /** Path of its record, which waits. */
    readonly record: string;
    readonly problem: string;
}

/** A backup in Manta, as it is found. */
export interface FoundBackup {
    /** Everything it has; of an image whose files were being replaced, what waits. */
    readonly files: ReadonlyMap<string, StoredFile>;
    /** Paths of all that waits. */
    readonly waiting: readonly string[];
    /** Records of images whose files were being replaced: they are nowhere else. */
    readonly begun: readonly string[];
    /** Those of which what waits is no use. */
    readonly broken: readonly BrokenImage[];
}

type Listing = ReadonlyMap<string, ListedFile>;

function isSameObject(a: ListedFile | undefined, b: ListedFile | undefined): boolean {
    return a?.size === b?.size && a?.etag === b?.etag;
}

function directoriesOf(record: string): readonly string[] {
    return pathsOf(uuidOf(record) ?? '', 'icon').map((path) => posix.dirname(path));
}

/**
 * Looks at a backup that others may be changing. Records are listed before and after everything else: only
 * where that says the same of an image was none of it replaced in between, and the others are looked at again.
 */
class BackupLook {
    readonly #objects: ObjectStore;
    readonly #root: string;
    readonly #parallel: number;
    readonly #files = new Map<string, StoredFile>();
    readonly #begun: string[] = [];
    readonly #broken: BrokenImage[] = [];

    constructor(objects: ObjectStore, root: string, parallel: number) {
        this.#objects = objects;
        this.#root = root;
        this.#parallel = parallel;
    }

    async find(): Promise<FoundBackup> {
        let directories: readonly string[] = [...AREAS.filter((area) => area !== 'manifests'), ETC];
        let records: ReadonlySet<string> | undefined;
        let before = await this.#list(['manifests']);
        for (let round = 1; round <= MAX_ROUNDS; round += 1) {
            const waiting = await this.#list(NEXT_AREAS, NEXT);
            const found = await this.#list(directories);
            const after = await this.#list(['manifests']);
            const isAsked = (record: string): boolean => records?.has(record) ?? true;
            const isChanged = (record: string): boolean =>
                !isSameObject(before.get(record), after.get(record));
            const changed = new Set([...before.keys(), ...after.keys()].filter(isChanged).filter(isAsked));
            const isTaken = (path: string): boolean =>
                !isOfImage(path) || (isAsked(recordOf(path)) && !changed.has(recordOf(path)));
            for (const [path, file] of [...found, ...after].filter(([each]) => isTaken(each))) {
                this.#files.set(path, { ...file, at: path });
            }
            const waitingAlone = [...waiting.keys()].filter(
                (path) => path === recordOf(path) && !after.has(path) && isTaken(path),
            );
            for (const record of waitingAlone) {
                if (!(await this.#takeBegun(record, waiting))) {
                    changed.add(record);
                }
            }
            if (changed.size === 0) {
                const [files, begun, broken] = [this.#files, this.#begun, this.#broken];
                return { files, waiting: [...waiting.keys()], begun, broken };
            }
            this.#forget(changed);
            directories = [...changed].flatMap(directoriesOf);
            records = changed;
            before = after;
        }
        throw new Error(
            `${this.#root} changes while it is looked at: wait until the backup that is under way there has ended`,
        );
    }

    /** Takes an image whose record waits. @returns false: somebody is at work on it */
    async #takeBegun(record: string, waiting: Listing): Promise<boolean> {
        const own = [...waiting].filter(([path]) => recordOf(path) === record);
        const files = new Map(own.map(([path, file]) => [path, { ...file, at: waitingAt(path) }] as const));
        const fileAt = (path: string): StoredFile | undefined => files.get(path) ?? this.#files.get(path);
        try {
            const problem = await problemOfBegun({
                objects: this.#objects,
                root: this.#root,
                record,
                fileAt,
            });
            if (problem !== undefined) {
                this.#broken.push({ record, problem });
                return true;
            }
        } catch (error) {
            if (!(error instanceof GoneMeanwhileError)) {
                throw error;
            }
            return false;
        }
        files.forEach((file, path) => this.#files.set(path, file));
        this.#begun.push(record);
        return true;
    }

    #forget(records: ReadonlySet<string>): void {
        for (const path of this.#files.keys()) {
            if (isOfImage(path) && records.has(recordOf(path))) {
                this.#files.delete(path);
            }
        }
    }

    #list(directories: readonly string[], below = ''): Promise<Listing> {
        return listAreas(this.#objects, posix.join(this.#root, below), directories, this.#parallel);
    }
}

/**
 * Everything a backup in Manta has, each image as it was at one moment, or as it will be when what has begun
 * is brought to its end.
 *
 * @throws Error when others go on changing it; as {@link ObjectStore} says; then nothing is known of what is there
 */
export function findBackup(objects: ObjectStore, root: string, parallel: number): Promise<FoundBackup> {
    return new BackupLook(objects, root, parallel).find();
}
