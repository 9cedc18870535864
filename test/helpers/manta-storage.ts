import type { Test } from 'tap';
import type { StorageType } from '#lib/base/constants.js';
import { baseDirectories } from '#lib/base/directories.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import type { PendingDelete } from '#lib/storage/delete-journal.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import { MantaStorage } from '#lib/storage/manta/manta-storage.js';
import type { Storage } from '#lib/storage/storage.js';
import { objectsBench, type ObjectsBench, type ObjectsOptions } from './manta-objects.js';
import type { MantaPlaceOptions } from './manta-place.js';
import { recordingLog, type LogRecord } from './recording-log.js';
import { unlessMissing } from '#lib/base/unless-missing.js';
import { readdir } from 'node:fs/promises';

/** A storage in Manta, and the journal of its temporary objects. */
export interface StorageBench extends ObjectsBench {
    readonly storage: MantaStorage;
    readonly journal: FileDeleteJournal;
    /** Directory of the journal. */
    readonly deletes: string;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    /** Milliseconds since the epoch; a test may move it. */
    readonly clock: { time: number };
    /** What the records of images name; a test may change it. */
    readonly recorded: Map<string, readonly PendingDelete[]>;
    readonly records: readonly LogRecord[];
    /** Entries of the journal. */
    entries(): Promise<readonly string[]>;
    /** Everything below `images` but the directories of the first characters. */
    left(): Promise<readonly string[]>;
    /** Another process on the same Manta and the same journal. */
    again(): Pick<StorageBench, 'storage' | 'journal'>;
}

/** Starts a Manta for a test of the storage in it. */
export async function storageBench(
    t: Test,
    options: MantaPlaceOptions & ObjectsOptions = {},
): Promise<StorageBench> {
    const place = await objectsBench(t, options);
    const { objects, root, double } = place;
    const directories = baseDirectories(t.testdir({}));
    const { log, records } = recordingLog();
    const clock = { time: Date.now() };
    const now = { now: () => clock.time };
    const recorded = new Map<string, readonly PendingDelete[]>();
    const rootDir = `${root}/imgapi`;
    const again = (): Pick<StorageBench, 'storage' | 'journal'> => {
        const storages = new Map<StorageType, Storage>();
        const journal = new FileDeleteJournal({
            directories,
            log,
            clock: now,
            storages,
            writers: 'all',
            currentFiles: (uuid) => Promise.resolve(recorded.get(uuid) ?? []),
            imageQueue: new KeyedQueue(),
        });
        const storage = new MantaStorage({
            objects,
            rootDir,
            log,
            clock: now,
            noteTemporary: (uuid, name, notBefore) =>
                journal.note(uuid, [{ stor: 'manta', name }], notBefore),
        });
        storages.set('manta', storage);
        return { storage, journal };
    };
    return {
        ...place,
        ...again(),
        deletes: directories.deletes,
        rootDir,
        clock,
        recorded,
        records,
        entries: async () => (await unlessMissing(readdir(directories.deletes))) ?? [],
        left: async () => {
            const images = `${rootDir}/images`;
            const found = [...double.objects(images)];
            for await (const prefix of objects.list(images)) {
                for await (const image of objects.list(`${images}/${prefix.name}`)) found.push(image.name);
            }
            return found;
        },
        again,
    };
}
