import { randomBytes, randomUUID } from 'node:crypto';
import {
    existsSync,
    mkdirSync,
    readdirSync,
    rmdirSync,
    rmSync,
    statSync,
    symlinkSync,
    utimesSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { storageIsDown } from '#lib/base/errors.js';
import type { Config } from '#lib/base/config-types.js';
import { chooseStorage } from '#lib/storage/choose-storage.js';
import { finalNameOf } from '#lib/storage/file-names.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import { storageFailure } from '#lib/storage/local/storage-failure.js';
import { FaultyMemory, FaultyStorage } from '../doubles/faulty-storage.js';
import { recordingLog } from '../helpers/recording-log.js';
import { storageSuite, type StorageUnderTest } from './storage-suite.js';

async function openLocal(t: Test): Promise<{ storage: LocalStorage; images: string }> {
    const directories = baseDirectories(t.testdir());
    const storage = new LocalStorage({ directories, log: recordingLog().log });
    await storage.setup();
    return { storage, images: directories.images };
}

/** Number of files this process has open. */
function openFiles(): number {
    return readdirSync('/proc/self/fd').length;
}

async function openLocalUnderTest(t: Test): Promise<StorageUnderTest> {
    const { storage, images } = await openLocal(t);
    return {
        storage,
        breakCommit: async (uuid, name) => {
            // A directory in the way of the final name.
            const path = join(images, uuid.slice(0, 3), uuid, name);
            mkdirSync(path);
            return async () => rmdirSync(path);
        },
        expectNothingLeft: async (t) => {
            const left = readdirSync(images, { recursive: true, encoding: 'utf8' });
            t.same(
                left.filter((path) => path.includes('/')),
                [],
                'only the directories of the first characters stay',
            );
        },
    };
}

void t.test('memory', (t) => {
    storageSuite(t, async () => {
        const storage = new FaultyMemory();
        return {
            storage,
            breakCommit: async () => {
                storage.faults.fail('commit', storageIsDown());
                return async () => storage.faults.heal();
            },
            expectNothingLeft: async () => undefined,
        };
    });

    void t.test('fails at the call it was told, before or after it', async (t) => {
        const storage = new FaultyMemory();
        const uuid = randomUUID();
        storage.faults.fail('write', new Error('third'), { nth: 3, times: 1 });
        storage.faults.fail('commit', new Error('answer lost'), { when: 'after' });
        storage.faults.fail('createWriter', new Error('no answer'), { times: 1, when: 'after' });
        await t.rejects(storage.createWriter(uuid, 'file0'), { message: 'no answer' });
        t.same(storage.uploadsInProgress(), [], 'nobody would end it');
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(Buffer.from('a'));
        await writer.write(Buffer.from('b'));
        await t.rejects(writer.write(Buffer.from('x')), { message: 'third' });
        await writer.write(Buffer.from('c'));
        await writer.close();
        await t.rejects(writer.commit(), { message: 'answer lost' });
        t.same(await storage.stat(uuid, 'file0'), { size: 3 }, 'but it was done');
    });

    void t.test('fails, hangs and breaks off as told', async (t) => {
        const storage = new FaultyMemory({ type: 'manta' });
        const uuid = randomUUID();
        t.equal(storage.type, 'manta');
        storage.plant(uuid, 'file0', randomBytes(100_000));
        storage.faults.fail('stat', new Error('once'), { times: 1 });
        await t.rejects(storage.stat(uuid, 'file0'), { message: 'once' });
        t.same(await storage.stat(uuid, 'file0'), { size: 100_000 });
        storage.faults.breakReadsAfter(70_000);
        const opened = await storage.open(uuid, 'file0');
        await t.rejects(buffer(opened!.stream), { message: 'read broken off' });
        storage.faults.hang('remove');
        const removing = storage.remove(uuid, 'file0');
        t.equal(storage.faults.hanging, 1);
        storage.faults.heal();
        await removing;
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        const writer = await storage.createWriter(uuid, 'file0');
        storage.faults.hang('write');
        const writing = writer.write(Buffer.from('x'));
        await writer.abort();
        await t.rejects(writing, 'abort ends a write that hangs');
    });
    t.end();
});

void t.test('local behind a wrapper that does nothing', (t) => {
    storageSuite(t, async (t) => {
        const { storage, ...rest } = await openLocalUnderTest(t);
        return { ...rest, storage: new FaultyStorage(storage) };
    });
    t.end();
});

void t.test('local', (t) => {
    storageSuite(t, openLocalUnderTest);

    void t.test('files lie where the existing server looks for them', async (t) => {
        const { storage, images } = await openLocal(t);
        const uuid = randomUUID();
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(Buffer.from('bytes'));
        await writer.close();
        t.ok(existsSync(join(images, uuid.slice(0, 3), uuid, writer.temporaryName)));
        await writer.commit();
        const path = join(images, uuid.slice(0, 3), uuid, 'file0');
        t.equal(statSync(path).mode & 0o777, 0o640);
        t.equal(statSync(dirname(path)).mode & 0o777, 0o750);
        const opened = await storage.open(uuid, 'file0');
        t.equal(opened?.path, path);
        await buffer(opened!.stream);
    });

    void t.test('a file on the same file system is linked, of another one nothing is done', async (t) => {
        const { storage, images } = await openLocal(t);
        const uuid = randomUUID();
        const path = join(images, '..', 'part');
        writeFileSync(path, 'bytes');
        const adopted = await storage.adopt(uuid, 'file0', { path, size: 5 });
        t.notOk(existsSync(join(images, uuid.slice(0, 3))), 'nothing before the commit');
        await adopted?.commit();
        const placed = statSync(join(images, uuid.slice(0, 3), uuid, 'file0'));
        t.ok(placed.ino === statSync(path).ino || placed.nlink === 1, 'a link, or a clone of the blocks');
        const other = ['/dev/shm', '/proc/self'].find((path) => statSync(path).dev !== placed.dev) ?? '';
        t.equal(await storage.adopt(uuid, 'file0', { path: other, size: 5 }), undefined);
        t.same(storage.uploadsInProgress(), []);
        await t.rejects(storage.adopt(uuid, 'file0', { path: `${path}.gone`, size: 5 }), { code: 'ENOENT' });
    });

    void t.test('the oldest layout is read, listed, copied from and removed', async (t) => {
        const { storage, images } = await openLocal(t);
        const [uuid, other] = [randomUUID(), randomUUID()];
        mkdirSync(join(images, uuid));
        writeFileSync(join(images, uuid, 'file0'), 'old place');
        t.match(await storage.stat(uuid, 'file0'), { size: 9 });
        t.equal((await buffer((await storage.open(uuid, 'file0'))!.stream)).toString(), 'old place');
        const files = [];
        for await (const file of storage.list()) {
            files.push([file.uuid, file.name]);
        }
        t.same(files, [[uuid, 'file0']]);
        await storage.copy(uuid, other, 'file0');
        t.match(await storage.stat(other, 'file0'), { size: 9 });
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(Buffer.from('new'));
        await writer.close();
        await writer.commit();
        t.match(await storage.stat(uuid, 'file0'), { size: 3 }, 'the new place comes first');
        await storage.remove(uuid, 'file0');
        t.equal(await storage.stat(uuid, 'file0'), undefined, 'gone from both places');
        t.notOk(existsSync(join(images, uuid)));
    });

    void t.test('a copy costs no bytes where the file system can share them', async (t) => {
        const { storage, images } = await openLocal(t);
        const [from, to] = [randomUUID(), randomUUID()];
        const writer = await storage.createWriter(from, 'file0');
        await writer.write(randomBytes(1_000_000));
        await writer.close();
        await writer.commit();
        await storage.copy(from, to, 'file0');
        const [a, b] = [from, to].map((uuid) => statSync(join(images, uuid.slice(0, 3), uuid, 'file0')));
        t.ok(a!.ino === b!.ino || a!.blocks === b!.blocks);
        const before = openFiles();
        await storage.copy(from, to, 'file0');
        t.equal(openFiles(), before);
    });

    void t.test('strange things in the directory are no files of images', async (t) => {
        const { storage, images } = await openLocal(t);
        const uuid = randomUUID();
        const directory = join(images, uuid.slice(0, 3), uuid);
        mkdirSync(join(directory, 'file0'), { recursive: true });
        mkdirSync(join(images, 'zzz', uuid), { recursive: true });
        writeFileSync(join(images, 'zzz', uuid, 'file0'), 'under the wrong prefix');
        writeFileSync(join(images, 'note'), 'x');
        symlinkSync('/etc/passwd', join(directory, 'icon'));
        t.equal(await storage.stat(uuid, 'file0'), undefined, 'a directory');
        t.equal(await storage.open(uuid, 'file0'), undefined);
        for await (const file of storage.list()) {
            t.fail(`listed ${file.name}`);
        }
    });

    void t.test('no descriptor stays open, whatever becomes of reads and writes', async (t) => {
        const { storage } = await openLocal(t);
        const uuid = randomUUID();
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(randomBytes(1_000_000));
        await writer.close();
        await writer.commit();
        const before = openFiles();
        for (let round = 0; round < 20; round += 1) {
            const aborted = await storage.createWriter(uuid, 'icon');
            const writing = aborted.write(randomBytes(1_000_000)).catch(() => undefined);
            await aborted.abort();
            await writing;
            const opened = await storage.open(uuid, 'file0');
            const closed = new Promise((resolve) => opened!.stream.once('close', resolve));
            opened!.stream.read();
            opened!.stream.destroy();
            await closed;
            const range = await storage.open(uuid, 'file0', { start: 5, end: 4 });
            await buffer(range!.stream);
        }
        t.equal(openFiles(), before);
    });

    void t.test('a directory that cannot be made, one that is gone', async (t) => {
        const { storage, images } = await openLocal(t);
        const uuid = randomUUID();
        writeFileSync(join(images, uuid.slice(0, 3)), 'in the way');
        await t.rejects(storage.createWriter(uuid, 'file0'), { code: /^E(EXIST|NOTDIR)$/ });
        t.same(storage.uploadsInProgress(), []);
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        const [from, to] = [randomUUID(), randomUUID()];
        const source = join(images, from.slice(0, 3), from, 'file0');
        mkdirSync(source.replace(/file0$/, ''), { recursive: true });
        writeFileSync(source, 'x');
        mkdirSync(join(images, to.slice(0, 3), to, 'file0'), { recursive: true });
        await t.rejects(storage.copy(from, to, 'file0'), { code: 'EISDIR' });
        t.same(readdirSync(join(images, to.slice(0, 3), to)), ['file0'], 'no temporary file is left');
        rmSync(images, { recursive: true });
        await t.rejects(storage.check(), { code: 'ENOENT' });
        for await (const file of storage.list()) {
            t.fail(`listed ${file.name}`);
        }
    });

    void t.test('times of files are told in milliseconds', async (t) => {
        const { storage, images } = await openLocal(t);
        const uuid = randomUUID();
        const directory = join(images, uuid.slice(0, 3), uuid);
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, 'file0'), '');
        utimesSync(join(directory, 'file0'), 1000, 1000);
        for await (const file of storage.list()) {
            t.equal(file.mtime, 1_000_000);
        }
    });

    void t.test('a full, over-quota or read-only disk is 503, anything else stays what it is', (t) => {
        for (const code of ['ENOSPC', 'EDQUOT', 'EROFS']) {
            t.match(storageFailure(Object.assign(new Error('no'), { code })), {
                code: 'StorageIsDown',
                status: 503,
                message: 'storage is down at the moment',
            });
        }
        const other = Object.assign(new Error('no'), { code: 'EIO' });
        t.equal(storageFailure(other), other);
        t.end();
    });
    t.end();
});

void t.test('names of files', (t) => {
    const uuid = randomUUID();
    t.equal(finalNameOf(`file0.${uuid}`), 'file0');
    t.equal(finalNameOf(`icon.${uuid}`), 'icon');
    for (const name of ['file0', 'file0.bak', `file.${uuid}`, `x.${uuid}`, `file00.${uuid}`, `.${uuid}`]) {
        t.equal(finalNameOf(name), undefined, name);
    }
    t.end();
});

void t.test('choosing a storage (backends 9)', (t) => {
    const admin = '00000000-0000-4000-8000-000000000001';
    const user = '00000000-0000-4000-8000-000000000002';
    const config = (storageTypes: Config['storageTypes'], remote: boolean): Config =>
        ({ storageTypes, adminUuid: admin, manta: { remote } }) as unknown as Config;
    const rows = [
        [user, undefined, config(['manta', 'local'], true), 'manta'],
        [user, undefined, config(['manta', 'local'], false), 'manta'],
        [admin, undefined, config(['manta', 'local'], true), 'local'],
        [admin, undefined, config(['manta', 'local'], false), 'manta'],
        [admin, 'manta', config(['manta', 'local'], true), 'manta'],
        [user, 'local', config(['manta', 'local'], false), 'local'],
        [user, 'manta', config(['local'], false), 'local'],
        [admin, undefined, config(['manta'], true), 'local'],
        [user, 'local', config(['manta'], false), 'local'],
        [user, undefined, { storageTypes: ['local'] } as unknown as Config, 'local'],
    ] as const;
    for (const [owner, preferred, given, expected] of rows) {
        t.equal(
            chooseStorage(given, owner, preferred),
            expected,
            `${owner} ${String(preferred)} ${given.storageTypes.join()}`,
        );
    }
    t.end();
});
