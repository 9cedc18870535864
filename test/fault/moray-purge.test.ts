// The purge of placeholders on Moray, by two processes at once, while a third one fills some of them
// (backends 11.1).
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '#lib/base/clock.js';
import type { StorageType } from '#lib/base/constants.js';
import { baseDirectories } from '#lib/base/directories.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import type { Database } from '#lib/database/database.js';
import { currentFiles } from '#lib/images/current-files.js';
import { purgePlaceholders, type PurgeOptions } from '#lib/maintenance/purge.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import type { Storage } from '#lib/storage/storage.js';
import { openMoray, startMoray } from '../helpers/moray-databases.js';
import { record } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';

const EXPIRED = '2020-01-01T00:00:00.000Z';
const signal = new AbortController().signal;

void t.test('each placeholder goes once, or is filled', async (t) => {
    const double = await startMoray(t);
    const directories = baseDirectories(t.testdir());
    const { log, records } = recordingLog();
    const storage = new LocalStorage({ directories, log });
    await storage.setup();
    const storages = new Map<StorageType, Storage>([['local', storage]]);
    const optionsOf = (database: Database): PurgeOptions => {
        const imageQueue = new KeyedQueue();
        const shared = { directories, log, clock: systemClock, storages, imageQueue };
        const journal = new FileDeleteJournal({
            ...shared,
            writers: 'all',
            currentFiles: (uuid) => currentFiles(database, uuid),
        });
        return { ...shared, database, journal, isBeingMade: async () => false };
    };
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => openMoray(t, double.port)));
    if (first === undefined || second === undefined || third === undefined) throw new Error('three');
    const placeholders = Array.from({ length: 40 }, (_, index) =>
        record({
            state: index % 2 === 0 ? 'creating' : 'failed',
            activated: false,
            expires_at: EXPIRED,
            published_at: undefined,
        }),
    );
    const kept = await third.database.create(record({ expires_at: EXPIRED }));
    for (const raw of placeholders) {
        await third.database.create(raw);
        const directory = join(directories.images, raw.uuid.slice(0, 3), raw.uuid);
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, 'file0'), 'a stray file');
    }
    const filling = placeholders.slice(0, 10).map(async ({ uuid }) =>
        third.database
            .update(uuid, (raw) => ({ ...raw, state: 'unactivated' }))
            .then(() => uuid)
            .catch(() => undefined),
    );
    const purged = await Promise.all(
        [first, second].map(({ database }) => purgePlaceholders(optionsOf(database), signal)),
    );
    const filled = (await Promise.all(filling)).filter((uuid) => uuid !== undefined);
    t.equal((purged[0] ?? 0) + (purged[1] ?? 0) + filled.length, placeholders.length);
    const left = await third.database.search({ anyOf: [{}], order: 'asc' });
    t.strictSame(new Set(left.map(({ raw }) => raw.uuid)), new Set([kept.raw.uuid, ...filled]));
    for (const { uuid } of placeholders.filter((one) => !filled.includes(one.uuid))) {
        t.equal(await storage.stat(uuid, 'file0'), undefined, 'its stray file went with it');
    }
    const complaints = records.filter(({ level }) => level > 40);
    t.strictSame(complaints, [], 'nothing to complain of');
});
