import { stat, statfs } from 'node:fs/promises';
import type { BaseDirectories } from '../../../base/config-types.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { walkFiles } from '../../../base/walk-files.js';

/** What a directory holds. */
export interface DirectoryUse {
    files: number;
    bytes: number;
}

/** What the file system of the images has left. */
export interface FreeSpace {
    readonly freeBytes: number;
    readonly totalBytes: number;
    readonly freeInodes: number;
    readonly totalInodes: number;
}

/** Directories beside those of manifests and images, by the names they have in reports. */
const SIDE_DIRECTORIES = ['archive', 'trash', 'quarantine', 'staging'] as const;

export type SideDirectory = (typeof SIDE_DIRECTORIES)[number];

/** Deeper than anything that a server or tool puts there. */
const MAX_DEPTH = 8;

/** Adds up the files below a directory. @throws the file system's error, or the signal's reason */
async function useOf(directory: string, signal: AbortSignal): Promise<DirectoryUse> {
    const use: DirectoryUse = { files: 0, bytes: 0 };
    for await (const { path } of walkFiles(directory, MAX_DEPTH)) {
        signal.throwIfAborted();
        const stats = await unlessMissing(stat(path));
        if (stats !== undefined) {
            use.files += 1;
            use.bytes += stats.size;
        }
    }
    return use;
}

/** What the directories on this machine take. @throws as the file system does, or the signal's reason */
export async function sideDirectories(
    directories: BaseDirectories,
    signal: AbortSignal,
): Promise<ReadonlyMap<SideDirectory, DirectoryUse>> {
    const uses = new Map<SideDirectory, DirectoryUse>();
    for (const name of SIDE_DIRECTORIES) {
        uses.set(name, await useOf(directories[name], signal));
    }
    return uses;
}

/** What is free where the images are. @throws the file system's error */
export async function freeSpace({ base, images }: BaseDirectories): Promise<FreeSpace> {
    const { bavail, blocks, bsize, ffree, files } =
        (await unlessMissing(statfs(images))) ?? (await statfs(base));
    return {
        freeBytes: bavail * bsize,
        totalBytes: blocks * bsize,
        freeInodes: ffree,
        totalInodes: files,
    };
}
