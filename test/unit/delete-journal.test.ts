import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import type { StorageType } from '#lib/base/constants.js';
import { serviceUnavailable, storageIsDown } from '#lib/base/errors.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import type { PendingDelete } from '#lib/storage/delete-journal.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import type { Storage } from '#lib/storage/storage.js';
import type { UploadClaim, UploadJournal } from '#lib/storage/upload-journal.js';
import { recordingLog } from '../helpers/recording-log.js';

const MINUTE = 60_000;

/** A journal over a storage in memory; `current` stands for the database. */
function setUp(t: Test) {
    const directories = baseDirectories(t.testdir());
    const storage = new FaultyMemory();
    const storages = new Map<StorageType, Storage>([['local', storage]]);
    const imageQueue = new KeyedQueue();
    const clock = { time: Date.now(), now: () => clock.time };
    const current = new Map<string, readonly PendingDelete[] | Error>();
    const { log, records } = recordingLog();
    const create = (uploads?: Pick<UploadJournal, 'claim'>, writers: 'all' | 'holder' = 'all') =>
        new FileDeleteJournal({
            directories,
            log,
            clock,
            storages,
            imageQueue,
            writers,
            ...(uploads === undefined ? {} : { uploads }),
            currentFiles: async (uuid) => {
                const files = current.get(uuid) ?? [];
                if (files instanceof Error) {
                    throw files;
                }
                return files;
            },
        });
    const entries = () => {
        try {
            return readdirSync(directories.deletes);
        } catch {
            return [];
        }
    };
    /** Makes all entries look as if they were written that long ago. */
    const age = (ms: number) => {
        for (const name of entries()) {
            const seconds = (clock.time - ms) / 1000;
            utimesSync(join(directories.deletes, name), seconds, seconds);
        }
    };
    const uuid = randomUUID();
    storage.plant(uuid, 'file0', Buffer.from('bytes'));
    return {
        directories,
        storage,
        storages,
        imageQueue,
        clock,
        current,
        records,
        create,
        entries,
        age,
        uuid,
    };
}

const FILE0: PendingDelete = { stor: 'local', name: 'file0' };

void t.test('note, then finish', async (t) => {
    const { create, entries, directories, storage, uuid } = setUp(t);
    const entry = await create().note(uuid, [FILE0, { stor: 'local', name: 'icon' }]);
    const [name] = entries();
    t.match(name, new RegExp(`^${uuid}\\.[0-9a-f]+\\.json$`));
    t.same(JSON.parse(readFileSync(join(directories.deletes, name!), 'utf8')), {
        uuid,
        files: [FILE0, { stor: 'local', name: 'icon' }],
    });
    t.ok(await storage.stat(uuid, 'file0'), 'nothing is deleted before the change');
    await entry.finish();
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(entries(), []);
});

void t.test('a pass that is told to end leaves the rest for the next one', async (t) => {
    const { create, entries, storage, uuid } = setUp(t);
    await create().note(uuid, [FILE0]);
    const journal = create();
    t.equal(await journal.pass(AbortSignal.abort()), 1);
    t.equal(entries().length, 1);
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(await journal.pass(), 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
});

void t.test('a pass decides about a file only while nobody finishes an upload of it', async (t) => {
    const { create, entries, storage, uuid } = setUp(t);
    await create().note(uuid, [{ stor: 'local', name: 'icon' }, FILE0, FILE0]);
    const ended: [string, boolean][] = [];
    const claims = (left?: UploadClaim['left']): Pick<UploadJournal, 'claim'> => ({
        claim: async (_uuid, name) => {
            t.ok(await storage.stat(uuid, 'file0'), 'nothing is deleted before');
            return {
                ...(left === undefined || name !== 'icon' ? {} : { left }),
                note: () => Promise.reject(new Error('a pass uploads nothing')),
                end: async (isSettled) => {
                    ended.push([name, isSettled]);
                    return Promise.resolve();
                },
            };
        },
    });
    const busy = { claim: () => Promise.reject(serviceUnavailable('busy')) };
    t.equal(await create(busy).pass(), 1);
    const next = { sha1: '', size: 1, contentType: 'image/png', contentMD5: '' };
    const left = { uuid, name: 'icon', stor: 'local', temporaryName: `icon.${uuid}`, next } as const;
    t.equal(await create(claims(left)).pass(), 1, 'what a crash has left comes first');
    t.same(ended.splice(0), [
        ['file0', true],
        ['icon', false],
    ]);
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(entries().length, 1);
    t.equal(await create(claims()).pass(), 0);
    t.same(ended, [
        ['file0', true],
        ['icon', true],
    ]);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(entries(), []);
});

void t.test('nothing to delete leaves no trace', async (t) => {
    const { create, entries, uuid } = setUp(t);
    const journal = create();
    t.equal(await journal.pass(), 0, 'before anything was ever noted');
    const entry = await journal.note(uuid, []);
    t.same(entries(), []);
    await entry.finish();
});

void t.test('a file that the record names is kept', async (t) => {
    const { create, entries, storage, current, uuid } = setUp(t);
    storage.plant(uuid, 'icon', Buffer.from('icon'));
    current.set(uuid, [FILE0, { stor: 'manta', name: 'icon' }]);
    const entry = await create().note(uuid, [FILE0, { stor: 'local', name: 'icon' }]);
    await entry.finish();
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(await storage.stat(uuid, 'icon'), undefined, 'named, but in another storage');
    t.same(entries(), []);
});

void t.test('a failing storage is tried again', async (t) => {
    const { create, entries, storage, records, uuid } = setUp(t);
    const journal = create();
    const entry = await journal.note(uuid, [FILE0]);
    storage.faults.fail('remove', storageIsDown());
    await entry.finish();
    t.equal(entries().length, 1);
    t.equal(await journal.pass(), 1);
    t.ok(records.some(({ level, msg }) => level === 40 && msg.includes('could not be deleted')));
    storage.faults.heal();
    t.equal(await journal.pass(), 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(entries(), []);
});

void t.test('a database that cannot tell means later', async (t) => {
    const { create, entries, storage, current, uuid } = setUp(t);
    current.set(uuid, serviceUnavailable('service unavailable'));
    const journal = create();
    const entry = await journal.note(uuid, [FILE0]);
    await entry.finish();
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(await journal.pass(), 1);
    current.delete(uuid);
    t.equal(await journal.pass(), 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(entries(), []);
});

void t.test('crash after the record was deleted: the next process deletes the files', async (t) => {
    const { create, entries, storage, uuid } = setUp(t);
    await create().note(uuid, [FILE0]);
    t.equal(await create().pass(), 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(entries(), []);
});

void t.test(
    'crash before the record was changed: the files stay, the entry goes when it is old',
    async (t) => {
        const { create, entries, age, storage, current, uuid } = setUp(t);
        current.set(uuid, [FILE0]);
        await create().note(uuid, [FILE0]);
        const next = create();
        t.equal(await next.pass(), 1, 'another process may be about to change the record');
        age(11 * MINUTE);
        t.equal(await next.pass(), 0);
        t.ok(await storage.stat(uuid, 'file0'));
        t.same(entries(), []);
    },
);

void t.test('where one process writes, what another has noted and not done is over at once', async (t) => {
    const { create, entries, storage, current, uuid } = setUp(t);
    current.set(uuid, [FILE0]);
    storage.plant(uuid, 'icon', Buffer.from('icon'));
    await create().note(uuid, [FILE0, { stor: 'local', name: 'icon' }]);
    t.equal(await create(undefined, 'holder').pass(), 0);
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(await storage.stat(uuid, 'icon'), undefined);
    t.same(entries(), []);
});

void t.test('a pass leaves entries alone whose change is under way in this process', async (t) => {
    const { create, age, storage, uuid } = setUp(t);
    const journal = create();
    const entry = await journal.note(uuid, [FILE0]);
    age(60 * MINUTE);
    t.equal(await journal.pass(), 1);
    t.ok(await storage.stat(uuid, 'file0'), 'even though no record names the file any more');
    await entry.finish();
    t.equal(await storage.stat(uuid, 'file0'), undefined);
});

void t.test("a pass waits for its turn in the image's queue", async (t) => {
    const { create, imageQueue, storage, uuid } = setUp(t);
    await create().note(uuid, [FILE0]);
    let leave: () => void = () => undefined;
    const inside = imageQueue.run(uuid, () => new Promise<void>((resolve) => (leave = resolve)));
    const pass = create().pass();
    for (let turn = 0; turn < 20; turn += 1) {
        await new Promise((resolve) => setImmediate(resolve));
    }
    t.ok(await storage.stat(uuid, 'file0'));
    leave();
    await inside;
    t.equal(await pass, 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
});

void t.test('notBefore', async (t) => {
    const { create, clock, storage, directories, entries, uuid } = setUp(t);
    await create().note(uuid, [FILE0], clock.time + 5 * MINUTE);
    const [name = ''] = entries();
    const path = join(directories.deletes, name);
    const { startTime, ...record } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    t.type(startTime, 'number');
    writeFileSync(path, JSON.stringify({ ...record, pid: process.ppid }));
    t.equal(await create().pass(), 1, 'the process that noted it goes on');
    t.ok(await storage.stat(uuid, 'file0'));
    clock.time += 5 * MINUTE;
    t.equal(await create().pass(), 0);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
});

void t.test('notBefore is not waited for when nobody can be at it any more', async (t) => {
    const { create, clock, storage, directories, entries, uuid } = setUp(t);
    const journal = create();
    const entry = await journal.note(uuid, [FILE0], clock.time + 5 * MINUTE);
    t.equal(await journal.pass(), 1, 'this process holds it');
    entry.leave();
    t.ok(await storage.stat(uuid, 'file0'));
    t.equal(await journal.pass(), 0, 'this process has left it');
    t.equal(await storage.stat(uuid, 'file0'), undefined);

    storage.plant(uuid, 'file0', Buffer.from('again'));
    await create().note(uuid, [FILE0], clock.time + 5 * MINUTE);
    const [name = ''] = entries();
    const path = join(directories.deletes, name);
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...record, host: 'elsewhere.example.com' }));
    t.equal(await create().pass(), 1, 'nothing is known of processes of other machines');
    writeFileSync(path, JSON.stringify({ ...record, bootId: 'an earlier one' }));
    t.equal(await create().pass(), 0, 'the machine was started anew');
    t.equal(await storage.stat(uuid, 'file0'), undefined);
});

void t.test(
    'an entry of whose change nobody knows is postponed, by the process that noted it too',
    async (t) => {
        const { create, clock, storage, entries, uuid } = setUp(t);
        const journal = create();
        const entry = await journal.note(uuid, [FILE0]);
        await entry.postpone();
        t.equal(await journal.pass(), 1);
        t.equal(await create().pass(), 1, 'nor by another');
        t.ok(await storage.stat(uuid, 'file0'));
        clock.time += 10 * MINUTE;
        t.equal(await journal.pass(), 0);
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        t.same(entries(), []);
    },
);

void t.test('an entry can be dropped, its files stay', async (t) => {
    const { create, storage, entries, uuid } = setUp(t);
    const journal = create();
    const entry = await journal.note(uuid, [FILE0]);
    await entry.drop();
    t.same(entries(), []);
    t.equal(await journal.pass(), 0);
    t.ok(await storage.stat(uuid, 'file0'));
});

void t.test('a storage that is not configured is left for later, the other files are not', async (t) => {
    const { create, storage, storages, uuid } = setUp(t);
    const journal = create();
    const entry = await journal.note(uuid, [{ stor: 'manta', name: 'file0' }, FILE0]);
    await entry.finish();
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.equal(await journal.pass(), 1);
    storages.set('manta', new FaultyMemory({ type: 'manta' }));
    t.equal(await journal.pass(), 0);
});

void t.test('temporary files can be noted, too', async (t) => {
    const { create, storage, uuid } = setUp(t);
    const name = `icon.${randomUUID()}`;
    storage.plant(uuid, name, Buffer.from('half'));
    const entry = await create().note(uuid, [{ stor: 'local', name }]);
    await entry.finish();
    for await (const file of storage.list()) {
        t.equal(file.name, 'file0');
    }
});

void t.test('an unreadable entry is logged and left, the others are done', async (t) => {
    const { create, entries, directories, records, storage, uuid } = setUp(t);
    await create().note(uuid, [FILE0]);
    const bad = {
        'a.json': 'not JSON',
        'b.json': '{"uuid":"../../x","files":[]}',
        'c.json': `{"uuid":"${uuid}","files":[{"stor":"local"}]}`,
        'd.json': `{"uuid":"${uuid}","files":[],"notBefore":"soon"}`,
        'e.json': 'null',
        'f.json': `{"uuid":"${uuid}","files":[{"stor":"local","name":"../../../etc"}]}`,
    };
    for (const [name, text] of Object.entries(bad)) {
        writeFileSync(join(directories.deletes, name), text);
    }
    writeFileSync(join(directories.deletes, 'x.json.0011223344556677.tmp'), 'half');
    t.equal(await create().pass(), 6);
    t.equal(entries().length, 7);
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.ok(records.filter(({ level }) => level === 40).length >= 6);
});

void t.test('an entry that cannot be written keeps the change from happening', async (t) => {
    const { create, directories, uuid } = setUp(t);
    mkdirSync(directories.run);
    writeFileSync(directories.deletes, 'in the way');
    await t.rejects(create().note(uuid, [FILE0]), { code: /^E(EXIST|NOTDIR)$/ });
});
