import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Test } from 'tap';
import type { ClosedWriter, ListedFile, Storage, StoredFileName } from '#lib/storage/storage.js';

/** A storage under test, set up and empty. */
export interface StorageUnderTest {
    readonly storage: Storage;
    /** Makes the next commit fail as on a full disk; the returned function ends that. */
    readonly breakCommit: (uuid: string, name: StoredFileName) => Promise<() => Promise<void>>;
    /** Fails the test when anything but `list` knows of is left, e.g. an empty directory. */
    readonly expectNothingLeft: (t: Test) => Promise<void>;
}

export type OpenStorage = (t: Test) => Promise<StorageUnderTest>;

async function listed(storage: Storage): Promise<ListedFile[]> {
    const files: ListedFile[] = [];
    for await (const file of storage.list()) {
        files.push(file);
    }
    return files.sort((a, b) => (a.uuid + a.name < b.uuid + b.name ? -1 : 1));
}

async function store(storage: Storage, uuid: string, name: StoredFileName, bytes: Buffer): Promise<void> {
    const writer = await storage.createWriter(uuid, name);
    await writer.write(bytes);
    await writer.close();
    await writer.commit();
}

async function content(
    storage: Storage,
    uuid: string,
    name: StoredFileName,
    range: { start?: number; end?: number } = {},
): Promise<Buffer | undefined> {
    const opened = await storage.open(uuid, name, range);
    return opened && (await buffer(opened.stream));
}

/** The promises of the port `Storage`, for every backend. */
export function storageSuite(t: Test, open: OpenStorage): void {
    void t.test('a file is invisible until commit, then whole', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const bytes = randomBytes(300_000);
        const writer = await storage.createWriter(uuid, 'file0');
        t.match(writer.temporaryName, /^file0\.[0-9a-f-]{36}$/);
        t.same(storage.uploadsInProgress(), [writer.temporaryName]);
        await writer.write(bytes.subarray(0, 1000));
        await writer.write(bytes.subarray(1000));
        await writer.close();
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        t.equal(await storage.open(uuid, 'file0'), undefined);
        const [temporary] = await listed(storage);
        t.match(temporary, { uuid, name: writer.temporaryName, size: bytes.length });
        t.ok(Math.abs((temporary?.mtime ?? 0) - Date.now()) < 60_000, 'modified just now');
        await writer.commit();
        t.same(storage.uploadsInProgress(), []);
        t.match(await storage.stat(uuid, 'file0'), { size: bytes.length });
        t.ok((await content(storage, uuid, 'file0'))?.equals(bytes));
        t.match(await listed(storage), [{ uuid, name: 'file0', size: bytes.length }]);
        await writer.abort();
        t.ok(await storage.stat(uuid, 'file0'), 'abort after commit does nothing');
    });

    void t.test('a chunk may be reused once it is written', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const chunk = Buffer.from('one');
        const writer = await storage.createWriter(uuid, 'icon');
        await writer.write(chunk);
        chunk.write('two');
        await writer.write(chunk);
        await writer.close();
        await writer.commit();
        t.equal((await content(storage, uuid, 'icon'))?.toString(), 'onetwo');
    });

    void t.test('the ends of a writer come in their order', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const writer = await storage.createWriter(randomUUID(), 'file0');
        await t.rejects(writer.commit(), 'commit before close');
        await writer.write(Buffer.from('x'));
        await writer.close();
        await t.rejects(writer.write(Buffer.from('y')), 'write after close');
        await t.rejects(writer.close(), 'close after close');
        await Promise.all([writer.abort(), writer.abort()]);
        await t.rejects(writer.commit(), 'commit after abort');
        t.same(await listed(storage), []);
        t.same(storage.uploadsInProgress(), []);
        await expectNothingLeft(t);
    });

    void t.test('abort leaves nothing, at any time, but what was there before', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        for (const progress of [0, 1, 2]) {
            const writer = await storage.createWriter(uuid, 'file0');
            const writing = progress > 0 ? writer.write(randomBytes(2_000_000)) : Promise.resolve();
            if (progress === 2) {
                await writing;
                await writer.close();
            }
            await Promise.all([writing.catch(() => undefined), writer.abort()]);
            t.same(await listed(storage), []);
            await expectNothingLeft(t);
        }
        await store(storage, uuid, 'file0', Buffer.from('old'));
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(Buffer.from('new'));
        await writer.abort();
        t.equal((await content(storage, uuid, 'file0'))?.toString(), 'old');
    });

    void t.test('commit replaces; a failed one keeps the old file', async (t) => {
        const { storage, breakCommit } = await open(t);
        const uuid = randomUUID();
        await store(storage, uuid, 'icon', Buffer.from('old'));
        await store(storage, uuid, 'icon', Buffer.from('newer'));
        t.equal((await content(storage, uuid, 'icon'))?.toString(), 'newer');
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.close();
        const mend = await breakCommit(uuid, 'file0');
        await t.rejects(writer.commit());
        await writer.abort();
        await mend();
        t.match(await listed(storage), [{ uuid, name: 'icon' }]);
    });

    void t.test('two writers of one file do not touch each other', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const [one, two] = await Promise.all([
            storage.createWriter(uuid, 'file0'),
            storage.createWriter(uuid, 'file0'),
        ]);
        t.not(one.temporaryName, two.temporaryName);
        await Promise.all([one.write(Buffer.from('one')), two.write(Buffer.from('two'))]);
        await Promise.all([one.close(), two.close()]);
        await two.commit();
        await one.abort();
        t.equal((await content(storage, uuid, 'file0'))?.toString(), 'two');
    });

    void t.test('writers, aborts and removals of one image at the same time', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        await Promise.all(
            Array.from({ length: 40 }, async (_none, index) => {
                const writer = await storage.createWriter(uuid, 'file0');
                await writer.write(Buffer.from(String(index)));
                if (index % 2 === 0) {
                    await writer.abort();
                } else {
                    await writer.close();
                    await writer.commit();
                    await storage.remove(uuid, 'file0');
                }
            }),
        );
        t.same(await listed(storage), []);
        await expectNothingLeft(t);
    });

    void t.test('a file of this machine is taken as it is, or not at all', async (t) => {
        const { storage, breakCommit, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        // Beside what a storage on disk may have there, so on its file system.
        mkdirSync(t.testdirName, { recursive: true });
        t.teardown(() => rmSync(t.testdirName, { recursive: true, force: true }));
        const path = join(t.testdirName, 'part');
        const size = 100_000;
        const adopt = async (bytes: Buffer): Promise<ClosedWriter | undefined> => {
            writeFileSync(path, bytes);
            return storage.adopt(uuid, 'file0', { path, size });
        };
        const given = await adopt(randomBytes(size));
        if (given === undefined) {
            t.same(storage.uploadsInProgress(), []);
            t.same(await listed(storage), [], 'nothing was begun');
            await expectNothingLeft(t);
            return;
        }
        t.match(given.temporaryName, /^file0\.[0-9a-f-]{36}$/);
        t.same(storage.uploadsInProgress(), [given.temporaryName]);
        t.equal(await storage.stat(uuid, 'file0'), undefined, 'invisible until commit');
        await given.abort();
        await given.abort();
        await t.rejects(given.commit(), 'commit after abort');
        t.same(storage.uploadsInProgress(), []);
        t.same(await listed(storage), []);
        await expectNothingLeft(t);
        await store(storage, uuid, 'file0', Buffer.from('first'));
        const bytes = randomBytes(size);
        const adopted = await adopt(bytes);
        await adopted?.commit();
        await adopted?.abort();
        t.same(storage.uploadsInProgress(), []);
        t.match(await listed(storage), [{ uuid, name: 'file0', size }], 'the old file was replaced');
        // The same again, as after a crash.
        await (await storage.adopt(uuid, 'file0', { path, size }))?.commit();
        t.equal((await listed(storage)).length, 1);
        rmSync(path);
        t.ok((await content(storage, uuid, 'file0'))?.equals(bytes), 'the stored file stands for itself');
        await storage.remove(uuid, 'file0');
        await store(storage, uuid, 'icon', Buffer.from('i'));
        const failing = await adopt(bytes);
        const mend = await breakCommit(uuid, 'file0');
        await t.rejects(async () => failing?.commit(), 'a failed commit');
        await failing?.abort();
        await mend();
        t.match(await listed(storage), [{ name: 'icon' }], 'leaves nothing');
        t.ok(existsSync(path), 'but the file itself');
    });

    void t.test('ranges', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const bytes = randomBytes(700_000);
        await store(storage, uuid, 'file1', bytes);
        for (const [start, end] of [
            [0, 0],
            [5, 9],
            [262_143, 262_144],
            [699_999, 699_999],
            [0, 699_999],
        ] as const) {
            const opened = await storage.open(uuid, 'file1', { start, end });
            t.equal(opened?.size, bytes.length, 'the size is that of the whole file');
            t.ok(
                opened && (await buffer(opened.stream)).equals(bytes.subarray(start, end + 1)),
                `${start}-${end}`,
            );
        }
        t.ok((await content(storage, uuid, 'file1', { start: 600_000 }))?.equals(bytes.subarray(600_000)));
        await store(storage, uuid, 'icon', Buffer.alloc(0));
        t.equal((await content(storage, uuid, 'icon'))?.length, 0, 'an empty file');
        for (const [start, end] of [
            [700_000, undefined],
            [700_000, 700_001],
            [5, 4],
        ] as const) {
            const range = { start, ...(end !== undefined && { end }) };
            const opened = await storage.open(uuid, 'file1', range);
            t.equal(opened?.size, bytes.length);
            t.equal((await buffer(opened!.stream)).length, 0, 'nothing behind the end');
        }
        const beyond = await storage.open(uuid, 'file1', { start: 699_990, end: 800_000 });
        t.ok((await buffer(beyond!.stream)).equals(bytes.subarray(699_990)), 'an end behind the end');
        t.equal(beyond?.bytesRead(), 10);
        t.equal(await storage.open(uuid, 'file0', { start: 5, end: 4 }), undefined, 'no file');
    });

    void t.test('an MD5 that is told is the right one', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const bytes = randomBytes(100_000);
        const md5 = createHash('md5').update(bytes).digest('base64');
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.write(bytes);
        const closed = await writer.close();
        await writer.commit();
        const opened = await storage.open(uuid, 'file0');
        await buffer(opened!.stream);
        for (const told of [closed, await storage.stat(uuid, 'file0'), opened]) {
            t.equal(told?.md5 ?? md5, md5);
        }
    });

    void t.test('a size that is announced must be right, or does not matter', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        const bytes = randomBytes(1000);
        const receive = async (size: number): Promise<void> => {
            const writer = await storage.createWriter(uuid, 'file0', { size });
            try {
                await writer.write(bytes.subarray(0, 500));
                await writer.write(bytes.subarray(500));
                await writer.close();
                await writer.commit();
            } catch (error) {
                await writer.abort();
                throw error;
            }
        };
        await receive(bytes.length);
        t.ok((await content(storage, uuid, 'file0'))?.equals(bytes));
        for (const size of [0, 999, 1001]) {
            await storage.remove(uuid, 'file0');
            const isTaken = await receive(size).then(
                () => true,
                () => false,
            );
            t.same((await content(storage, uuid, 'file0'))?.equals(bytes), isTaken ? true : undefined);
        }
        await storage.remove(uuid, 'file0');
        t.same(await listed(storage), []);
        await expectNothingLeft(t);
    });

    void t.test('a read ends when its signal is aborted', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        await store(storage, uuid, 'file0', randomBytes(3_000_000));
        await t.rejects(storage.open(uuid, 'file0', { signal: AbortSignal.abort() }));
        const stop = new AbortController();
        const opened = await storage.open(uuid, 'file0', { signal: stop.signal });
        t.ok(opened);
        stop.abort();
        await t.rejects(buffer(opened!.stream), 'a broken off read is no whole file');
    });

    void t.test('a reader keeps its file when it is replaced or removed', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        await store(storage, uuid, 'file0', Buffer.from('first'));
        const opened = await storage.open(uuid, 'file0');
        await store(storage, uuid, 'file0', Buffer.from('second'));
        await storage.remove(uuid, 'file0');
        t.equal((await buffer(opened!.stream)).toString(), 'first');
    });

    void t.test('remove', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        await storage.remove(uuid, 'file0');
        await store(storage, uuid, 'file0', Buffer.from('f'));
        await store(storage, uuid, 'icon', Buffer.from('i'));
        await storage.remove(uuid, 'file0');
        await storage.remove(uuid, 'file0');
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        t.equal((await content(storage, uuid, 'icon'))?.toString(), 'i');
        await storage.remove(uuid, 'icon');
        t.same(await listed(storage), []);
        await expectNothingLeft(t);
    });

    void t.test('a temporary file can be removed by its name', async (t) => {
        const { storage, expectNothingLeft } = await open(t);
        const uuid = randomUUID();
        const writer = await storage.createWriter(uuid, 'file0');
        await writer.close();
        await storage.removeTemporary(uuid, writer.temporaryName);
        await storage.removeTemporary(uuid, writer.temporaryName);
        t.same(await listed(storage), []);
        await writer.abort();
        await expectNothingLeft(t);
    });

    void t.test('copy', async (t) => {
        const { storage } = await open(t);
        const [from, to] = [randomUUID(), randomUUID()];
        const bytes = randomBytes(100_000);
        await t.rejects(storage.copy(from, to, 'file0'), { code: 'ENOENT' });
        await store(storage, from, 'file0', bytes);
        await store(storage, to, 'file0', Buffer.from('old'));
        await storage.copy(from, to, 'file0');
        await storage.copy(from, to, 'file0');
        t.ok((await content(storage, to, 'file0'))?.equals(bytes));
        t.equal((await listed(storage)).length, 2, 'no temporary file is left');
        await storage.remove(from, 'file0');
        t.ok((await content(storage, to, 'file0'))?.equals(bytes), 'the copy stands for itself');
        await store(storage, from, 'file0', Buffer.from('other'));
        t.ok((await content(storage, to, 'file0'))?.equals(bytes));
    });

    void t.test('names that would reach elsewhere are refused', async (t) => {
        const { storage } = await open(t);
        const uuid = randomUUID();
        const badName = '../../../etc/passwd' as StoredFileName;
        await t.rejects(storage.createWriter(uuid, badName));
        await t.rejects(storage.createWriter('../x', 'file0'));
        await t.rejects(storage.open(uuid, badName));
        await t.rejects(storage.stat('..', 'icon'));
        await t.rejects(storage.remove(uuid, 'file0.tmp' as StoredFileName));
        await t.rejects(storage.copy(uuid, '..', 'file0'));
        await t.rejects(storage.removeTemporary(uuid, 'file0'), 'a final name is not temporary');
        await t.rejects(storage.removeTemporary(uuid, 'file0./../x'));
    });

    void t.test('check', async (t) => {
        const { storage } = await open(t);
        const { freeBytes, totalBytes, freeInodes, totalInodes } = await storage.check();
        t.ok((freeBytes ?? 0) <= (totalBytes ?? 0));
        t.ok((freeInodes ?? 0) <= (totalInodes ?? 0));
    });
}
