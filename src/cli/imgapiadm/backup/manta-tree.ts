import { posix } from 'node:path';
import { startDigest } from '../../../base/digests/one-digest.js';
import { forEachParallel } from '../../../base/parallel.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { areaOf, AREA_DEPTH, uuidOf, type FileBytes } from './backup-files.js';

/** Where encrypted and public files of `etc` are, below a backup. */
export const ETC = 'etc';
/** Where new files of images wait for their record, below a backup: see {@link MantaReplacements}. */
export const NEXT = 'next';
/** Areas of what waits. */
export const NEXT_AREAS = ['images', 'manifests'] as const;

/** Files of a backup that are no area's. */
export function isOfEtc(path: string): boolean {
    return path.startsWith(`${ETC}/`);
}

/** Files of a backup that are an image's, its record included. */
export function isOfImage(path: string): boolean {
    return NEXT_AREAS.some((area) => area === areaOf(path));
}

/** Path of the record of an image that a file is of. */
export function recordOf(path: string): string {
    return `manifests/${uuidOf(path) ?? ''}.raw`;
}

/** Where a file waits, below a backup. */
export function waitingAt(path: string): string {
    return `${NEXT}/${path}`;
}

/** A file of a backup in Manta. */
export interface StoredFile {
    readonly size: number;
    /** Absent: Manta does not say. */
    readonly etag?: string;
    /** Where it is, below the backup. */
    readonly at: string;
}

/** What a listing says of a file. */
export type ListedFile = Omit<StoredFile, 'at'>;

/**
 * Everything below a directory, as far as a backup has such files: area by area, level by level.
 *
 * @param directories areas, or what is below them
 * @throws as {@link ObjectStore} says
 */
export async function listAreas(
    objects: ObjectStore,
    root: string,
    directories: readonly string[],
    parallel: number,
): Promise<Map<string, ListedFile>> {
    const files = new Map<string, ListedFile>();
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
