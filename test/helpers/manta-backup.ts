import { join } from 'node:path';
import type { Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { fileOf, type FileBytes } from '#lib/cli/imgapiadm/backup/backup-files.js';
import { BackupRun } from '#lib/cli/imgapiadm/backup/backup-run.js';
import { MantaTarget } from '#lib/cli/imgapiadm/backup/manta-target.js';
import { backupPlace, type BackupPlace } from './backup-place.js';
import { startMantaArea, type MantaArea } from './manta-area.js';

/** A place whose backup is in Manta. */
export interface MantaBackup extends BackupPlace {
    readonly area: MantaArea;
    /** Where in Manta. */
    readonly root: string;
}

/** Makes a place with as many images, and a Manta. */
export async function mantaBackup(t: Test, count: number, callTimeoutMs?: number): Promise<MantaBackup> {
    const area = await startMantaArea(t, callTimeoutMs === undefined ? {} : { callTimeoutMs });
    const place = backupPlace(t, count, { manta: area.config, instanceUuid: newUuid() });
    return { ...place, area, root: `${area.rootDir}/backup` };
}

/** A run with a target that a test has its hands on. */
export function runOn(
    place: MantaBackup,
    changes: Partial<{
        put: (file: FileBytes) => Promise<void>;
        begin: () => void;
        pause: (ms: number) => Promise<void>;
        force: boolean;
    }> = {},
) {
    const signal = new AbortController().signal;
    const problems: string[] = [];
    const target = new MantaTarget({
        objects: place.area.objects,
        root: place.root,
        statePath: join(place.base, 'run/backup-state.json'),
        parallel: 2,
        signal,
        onProblem: (path, problem) => problems.push(`${path}: ${problem}`),
    });
    const begin = target.begin.bind(target);
    target.begin = async () => {
        changes.begin?.();
        await begin();
    };
    const [put, putForRecord] = [target.put.bind(target), target.putForRecord.bind(target)];
    target.put = async (file) => {
        await changes.put?.(file);
        await put(file);
    };
    target.putForRecord = async (file) => {
        await changes.put?.(file);
        await putForRecord(file);
    };
    const run = new BackupRun({
        base: place.base,
        target,
        areas: ['images', 'archive', 'sharing', 'manifests'],
        etc: [fileOf('etc/some.pub', Buffer.from('public'))],
        checksum: false,
        force: changes.force ?? false,
        dryRun: false,
        parallel: 2,
        signal,
        onProblem: (path, problem) => problems.push(`${path}: ${problem}`),
        onCopied: () => undefined,
        pause: changes.pause ?? (() => Promise.resolve()),
    });
    return { run, problems };
}

/** The first file of an image: where it is, below the base directory, and its record. */
export function imageOf(place: BackupPlace, index = 0) {
    const uuid = place.images[index]?.fixture.uuid ?? '';
    const path = `images/${uuid.slice(0, 3)}/${uuid}/file0`;
    return { uuid, path, file: join(place.base, path), raw: join(place.base, 'manifests', `${uuid}.raw`) };
}

/** What a backup has of an image. */
export async function storedOf(
    { area, root }: MantaBackup,
    uuid: string,
): Promise<Readonly<Record<string, string>>> {
    const paths = area.double.objects(root).filter((path) => path.includes(uuid));
    const read = async (path: string) =>
        [path.slice(root.length + 1), (await area.client.read(path)).toString('latin1')] as const;
    return Object.fromEntries(await Promise.all(paths.map(read)));
}

/** SHA-1 that the record of an image in a backup has of its first file. */
export function sha1In(stored: Readonly<Record<string, string>>): string | undefined {
    const [, text = '{}'] = Object.entries(stored).find(([path]) => path.startsWith('manifests/')) ?? [];
    return (JSON.parse(text) as { files?: { sha1: string }[] }).files?.[0]?.sha1;
}

/** Has something happen the first time a file is about to be stored. */
export function whenFirst(wanted: string, happen: () => void): { put: (file: FileBytes) => Promise<void> } {
    let isDone = false;
    return {
        put: ({ path }) => {
            if (path === wanted && !isDone) {
                isDone = true;
                happen();
            }
            return Promise.resolve();
        },
    };
}
