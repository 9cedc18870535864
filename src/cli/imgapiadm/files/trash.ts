import { readdir, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { syncDirectory } from '../../../base/durable-files.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import type { OpenFiles } from './open-files.js';

const DAY_MS = 86_400_000;
const SECOND_MS = 1000;
/** How long what was taken away is kept (README table C). */
const TRASH_MS = 7 * DAY_MS;
const QUARANTINE_MS = 90 * DAY_MS;
/** Directories in the trash: a moment each. */
const STAMP = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
const QUARANTINED = /\.raw\.(\d{8}T\d{6}Z)(?:\.\d+)?$/;

/** Something that has been kept long enough. */
export interface Expired {
    readonly stor: string;
    readonly path: string;
    remove(): Promise<void>;
}

/** The moment a stamp tells, milliseconds since the epoch; not a number: it is none. */
function momentOf(stamp: string): number {
    return Date.parse(stamp.replace(STAMP, '$1-$2-$3T$4:$5:$6Z'));
}

function isOlder(stamp: string, now: number, limit: number): boolean {
    return STAMP.test(stamp) && now - momentOf(stamp) > limit;
}

async function listNames(objects: ObjectStore, path: string): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const { name } of objects.list(path)) {
        names.push(name);
    }
    return names;
}

function mantaTrash({ data, away }: OpenFiles): { objects: ObjectStore; path: string } | undefined {
    const { objects, config } = data;
    return objects === undefined || away.has('manta')
        ? undefined
        : { objects, path: posix.join(config.manta?.rootDir ?? '', 'trash') };
}

/** A name for this run's directory in the trash, that no other has. */
export async function freshStamp(files: OpenFiles, now: number): Promise<string> {
    const manta = mantaTrash(files);
    const taken = new Set([
        ...((await unlessMissing(readdir(files.data.directories.trash))) ?? []),
        ...(manta === undefined ? [] : await listNames(manta.objects, manta.path)),
    ]);
    let moment = now;
    while (taken.has(timeStamp(moment))) {
        moment += SECOND_MS;
    }
    return timeStamp(moment);
}

/** Removes an object, or a directory with all that is in it. */
async function removeTree(objects: ObjectStore, path: string): Promise<void> {
    for await (const { name, isDirectory } of objects.list(path)) {
        const below = posix.join(path, name);
        await (isDirectory ? removeTree(objects, below) : objects.remove(below));
    }
    await objects.removeDirectory(path);
}

function expiredFile(directory: string, name: string): Expired {
    const path = join(directory, name);
    return {
        stor: 'local',
        path,
        remove: async () => {
            await rm(path, { recursive: true, force: true });
            await syncDirectory(directory);
        },
    };
}

async function expiredHere({ trash, quarantine }: BaseDirectories, now: number): Promise<Expired[]> {
    const old = ((await unlessMissing(readdir(trash))) ?? []).filter((name) => isOlder(name, now, TRASH_MS));
    const records = ((await unlessMissing(readdir(quarantine))) ?? []).filter((name) =>
        isOlder(QUARANTINED.exec(name)?.[1] ?? '', now, QUARANTINE_MS),
    );
    return [
        ...old.sort().map((name) => expiredFile(trash, name)),
        ...records.sort().map((name) => expiredFile(quarantine, name)),
    ];
}

/** What has been in the trash for 7 days, and in quarantine for 90 (operations 2.3). */
export async function expiredTrash(files: OpenFiles, now: number): Promise<readonly Expired[]> {
    const manta = mantaTrash(files);
    const there = manta === undefined ? [] : await listNames(manta.objects, manta.path);
    return [
        ...(await expiredHere(files.data.directories, now)),
        ...there
            .filter((name) => isOlder(name, now, TRASH_MS))
            .sort()
            .flatMap((name): Expired[] => {
                const path = posix.join(manta?.path ?? '', name);
                return manta === undefined
                    ? []
                    : [{ stor: 'manta', path, remove: () => removeTree(manta.objects, path) }];
            }),
    ];
}
