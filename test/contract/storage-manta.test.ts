import { randomBytes, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { StorageWriter } from '#lib/storage/storage.js';
import { FaultyStorage } from '../doubles/faulty-storage.js';
import { DOWN, LIMITS, refused } from '../helpers/manta-objects.js';
import { storageBench, type StorageBench } from '../helpers/manta-storage.js';
import { storageSuite, type StorageUnderTest } from './storage-suite.js';

/** Contract over a Manta with or without links, through a wrapper or not. */
async function openManta(t: Test, snaplinks: boolean, wrap: boolean): Promise<StorageUnderTest> {
    const bench = await storageBench(t, { snaplinks });
    const { double, storage, journal, rootDir } = bench;
    return {
        storage: wrap ? new FaultyStorage(storage) : storage,
        breakCommit: async (uuid, name) => {
            const path = `${rootDir}/images/${uuid.slice(0, 3)}/${uuid}/${name}`;
            const mend = double.inject({ refuse: 507 }, { path, method: 'PUT' });
            return async () => {
                mend();
                // What could not be removed while the store was full is found through the journal.
                await journal.pass();
            };
        },
        expectNothingLeft: async (t) => {
            t.same(await bench.left(), []);
            t.same(await bench.entries(), []);
        },
    };
}

void t.test('manta', (t) => {
    storageSuite(t, (t) => openManta(t, true, false));
    t.end();
});

void t.test('manta without links', (t) => {
    storageSuite(t, (t) => openManta(t, false, false));
    t.end();
});

void t.test('manta behind a wrapper that does nothing', (t) => {
    storageSuite(t, (t) => openManta(t, true, true));
    t.end();
});

async function receive(bench: StorageBench, uuid: string, bytes: Buffer): Promise<StorageWriter> {
    const writer = await bench.storage.createWriter(uuid, 'file0');
    await writer.write(bytes);
    await writer.close();
    return writer;
}

void t.test('objects lie where the existing server looks for them', async (t) => {
    const bench = await storageBench(t);
    const { storage, double, rootDir } = bench;
    const uuid = randomUUID();
    const directory = `${rootDir}/images/${uuid.slice(0, 3)}/${uuid}`;
    const writer = await receive(bench, uuid, Buffer.from('bytes'));
    t.same(double.objects(rootDir), [`${directory}/${writer.temporaryName}`]);
    await writer.commit();
    t.same(double.objects(rootDir), [`${directory}/file0`]);
    const [put] = double.requests({ kind: 'put' });
    t.match(put?.headers, { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' });
    const opened = await storage.open(uuid, 'file0');
    await buffer(opened!.stream);
    t.equal(opened?.path, undefined);
    const sized = await storage.createWriter(uuid, 'icon', { size: 3 });
    await sized.write(Buffer.from('abc'));
    await sized.close();
    t.equal(double.requests({ kind: 'put' })[1]?.headers['content-length'], '3');
    await sized.abort();
});

void t.test('strange things in the directory are no files of images', async (t) => {
    const { storage, objects, rootDir } = await storageBench(t);
    const uuid = randomUUID();
    const directory = `${rootDir}/images/${uuid.slice(0, 3)}/${uuid}`;
    await objects.makeDirectory(`${directory}/file0`);
    await objects.makeDirectory(`${rootDir}/images/zzz/${uuid}`);
    for (const path of [`zzz/${uuid}/file0`, 'note', `${uuid.slice(0, 3)}/note`]) {
        await objects.put(`${rootDir}/images/${path}`, Buffer.from('x'), { contentType: 'text/plain' });
    }
    t.equal(await storage.stat(uuid, 'file0'), undefined, 'a directory');
    t.equal(await storage.open(uuid, 'file0'), undefined);
    for await (const file of storage.list()) {
        t.fail(`listed ${file.name}`);
    }
});

void t.test('nothing is taken for empty or missing because of an error', async (t) => {
    const { storage, double } = await storageBench(t, { limits: LIMITS });
    const uuid = randomUUID();
    const list = async (): Promise<void> => {
        for await (const file of storage.list()) t.fail(`listed ${file.name}`);
    };
    await list();
    const end = double.inject({ refuse: { status: 404, code: 'NotFound', message: 'no such page' } });
    await t.rejects(list(), refused(404));
    await t.rejects(storage.open(uuid, 'file0'), refused(404));
    await t.rejects(storage.remove(uuid, 'file0'), refused(404));
    await t.rejects(storage.copy(uuid, randomUUID(), 'file0'), refused(404));
    end();
    const mend = double.inject({ refuse: { status: 403, code: 'InvalidSignature', message: 'no' } });
    const refusedCalls: (() => Promise<unknown>)[] = [
        () => list(),
        () => storage.open(uuid, 'file0'),
        () => storage.stat(uuid, 'file0'),
        () => storage.check(),
        () => storage.createWriter(uuid, 'file0'),
    ];
    for (const call of refusedCalls) {
        await t.rejects(call(), refused(403));
    }
    mend();
    await double.stop();
    const lostCalls: (() => Promise<unknown>)[] = [
        () => list(),
        () => storage.open(uuid, 'file0'),
        () => storage.stat(uuid, 'file0'),
        () => storage.remove(uuid, 'file0'),
        () => storage.copy(uuid, randomUUID(), 'file0'),
        () => storage.removeTemporary(uuid, `file0.${uuid}`),
        () => storage.check(),
        () => storage.createWriter(uuid, 'file0'),
    ];
    for (const call of lostCalls) {
        await t.rejects(call(), DOWN);
    }
    t.same(storage.uploadsInProgress(), []);
});

void t.test('what was stored changed is told', async (t) => {
    const bench = await storageBench(t);
    bench.double.inject({ wrongMd5: true }, { kind: 'put' });
    const writer = await bench.storage.createWriter(randomUUID(), 'file0');
    await writer.write(Buffer.from('bytes'));
    t.equal((await writer.close()).md5, Buffer.alloc(16, 0x5a).toString('base64'));
    await writer.abort();
    t.same(await bench.left(), []);
});

void t.test('a directory that others remove again and again is made again', async (t) => {
    const bench = await storageBench(t);
    const uuid = randomUUID();
    // Another process has nothing on its way here, and so removes what is empty.
    const other = bench.again().storage;
    const bytes = randomBytes(1000);
    for (let round = 0; round < 5; round += 1) {
        await (await receive(bench, uuid, bytes)).commit();
        await other.remove(uuid, 'file0');
        t.same(await bench.left(), []);
    }
    const hold = bench.double.hold({ kind: 'put' });
    const [one, two] = await Promise.all([
        bench.storage.createWriter(uuid, 'file0').catch(() => undefined),
        hold.arrived().then(() => hold.resume()),
    ]);
    t.equal(two, undefined);
    await one?.write(bytes);
    const aborted = await bench.storage.createWriter(uuid, 'icon');
    await aborted.abort();
    await one?.close();
    await one?.commit();
    t.match(await bench.storage.stat(uuid, 'file0'), { size: 1000 }, 'kept by the upload on its way');
});
