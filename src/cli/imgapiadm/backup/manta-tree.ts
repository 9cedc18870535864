import { posix } from 'node:path';
import { startDigest } from '../../../base/digests/one-digest.js';
import { forEachParallel } from '../../../base/parallel.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { areaOf, AREAS, AREA_DEPTH, type FileBytes, type KeptFile } from './backup-files.js';

/** Where encrypted and public files of `etc` are, below a backup. */
export const ETC = 'etc';

/** Files of a backup that are no area's. */
export function isOfEtc(path: string): boolean {
    return path.startsWith(`${ETC}/`);
}

/**
 * Everything a backup in Manta has: area by area, level by level.
 *
 * @throws as {@link ObjectStore} says; then nothing is known of what is there
 */
export async function listBackup(
    objects: ObjectStore,
    root: string,
    parallel: number,
): Promise<Map<string, KeptFile>> {
    const files = new Map<string, KeptFile>();
    let level: string[] = [...AREAS, ETC];
    for (let depth = 0; depth <= AREA_DEPTH && level.length > 0; depth += 1) {
        const next: string[] = [];
        await forEachParallel(level, parallel, async (directory) => {
            for await (const { name, isDirectory, size } of objects.list(posix.join(root, directory))) {
                const path = `${directory}/${name}`;
                if (isDirectory) {
                    next.push(path);
                } else if (areaOf(path) !== undefined || isOfEtc(path)) {
                    files.set(path, { size });
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
