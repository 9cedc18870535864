import { posix } from 'node:path';
import { startDigest } from '../../../base/digests/one-digest.js';
import { forEachParallel } from '../../../base/parallel.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { areaOf, AREAS, AREA_DEPTH, uuidOf, type FileBytes } from './backup-files.js';

/** Where encrypted and public files of `etc` are, below a backup. */
export const ETC = 'etc';
/** Where new files of images wait for their record, below a backup: see {@link MantaReplacements}. */
export const NEXT = 'next';
/** Areas of what waits. */
const NEXT_AREAS = ['images', 'manifests'] as const;

/** Files of a backup that are no area's. */
export function isOfEtc(path: string): boolean {
    return path.startsWith(`${ETC}/`);
}

/** Path of the record of an image that a file is of. */
export function recordOf(path: string): string {
    return `manifests/${uuidOf(path) ?? ''}.raw`;
}

/** A file of a backup in Manta. */
export interface StoredFile {
    readonly size: number;
    /** Absent: Manta does not say. */
    readonly etag?: string;
    /** Where it is, below the backup. */
    readonly at: string;
}

/** Everything below a directory: area by area, level by level. */
async function listAreas(
    objects: ObjectStore,
    root: string,
    directories: readonly string[],
    parallel: number,
): Promise<Map<string, Omit<StoredFile, 'at'>>> {
    const files = new Map<string, Omit<StoredFile, 'at'>>();
    let level = [...directories];
    for (let depth = 0; depth <= AREA_DEPTH && level.length > 0; depth += 1) {
        const next: string[] = [];
        await forEachParallel(level, parallel, async (directory) => {
            for await (const { name, isDirectory, size, etag } of objects.list(posix.join(root, directory))) {
                const path = `${directory}/${name}`;
                if (isDirectory) {
                    next.push(path);
                } else if (areaOf(path) !== undefined || isOfEtc(path)) {
                    files.set(path, { size, ...(etag === undefined ? {} : { etag }) });
                }
            }
        });
        level = next;
    }
    return files;
}

/** A backup in Manta, as it is found. */
export interface FoundBackup {
    /** Everything it has; of an image whose files were being replaced, what waits. */
    readonly files: ReadonlyMap<string, StoredFile>;
    /** Paths of all that waits. */
    readonly waiting: readonly string[];
    /** Records of images whose files were being replaced: they are nowhere else. */
    readonly begun: readonly string[];
}

/**
 * Everything a backup in Manta has.
 *
 * @throws as {@link ObjectStore} says; then nothing is known of what is there
 */
export async function findBackup(objects: ObjectStore, root: string, parallel: number): Promise<FoundBackup> {
    const waiting = await listAreas(objects, posix.join(root, NEXT), NEXT_AREAS, parallel);
    const found = await listAreas(objects, root, [...AREAS, ETC], parallel);
    const files = new Map([...found].map(([path, file]) => [path, { ...file, at: path }] as const));
    const isBegun = (path: string): boolean => waiting.has(recordOf(path)) && !found.has(recordOf(path));
    for (const [path, file] of waiting) {
        if (isBegun(path)) {
            files.set(path, { ...file, at: `${NEXT}/${path}` });
        }
    }
    const begun = [...waiting.keys()].filter((path) => areaOf(path) === 'manifests' && isBegun(path));
    return { files, waiting: [...waiting.keys()], begun };
}

/** The MD5 of bytes, base64. */
export async function md5Of({ size, chunks }: FileBytes): Promise<string> {
    const digest = startDigest('md5', size);
    try {
        for await (const chunk of chunks) {
            await digest.push(chunk);
        }
        return await digest.end();
    } catch (error) {
        digest.cancel();
        throw error;
    }
}
