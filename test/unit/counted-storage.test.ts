import { randomBytes, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import type { Tally } from '#lib/base/tally.js';
import { CountedStorage, StorageCounts } from '#lib/storage/counted-storage.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import { storageSuite } from '../contract/storage-suite.js';

function countsOf<Name extends string>(tally: Tally<Name>): Record<string, number> {
    const counts: Record<string, number> = {};
    tally.forEach((labels, value) => (counts[Object.values(labels).join(' ')] = value));
    return counts;
}

void t.test('a counted storage keeps the promises of every storage', (t) => {
    storageSuite(t, async () => {
        const storage = new FaultyMemory();
        return {
            storage: new CountedStorage(storage, new StorageCounts()),
            breakCommit: async () => {
                storage.faults.fail('commit', new Error('commit'));
                return async () => storage.faults.heal();
            },
            expectNothingLeft: async () => undefined,
        };
    });
    t.end();
});

/** A counted storage with its insides. */
function setUp() {
    const inner = new FaultyMemory();
    const counts = new StorageCounts();
    return { inner, counts, storage: new CountedStorage(inner, counts), uuid: randomUUID() };
}

void t.test('transfers in', async (t) => {
    const { inner, counts, storage, uuid } = setUp();
    const good = await storage.createWriter(uuid, 'file0');
    await good.write(Buffer.alloc(10));
    await good.close();
    await good.commit();
    await good.abort();
    t.same([countsOf(counts.bytes), countsOf(counts.failures)], [{ 'in local': 10 }, {}]);

    const given = await storage.createWriter(uuid, 'file0');
    await given.write(Buffer.alloc(5));
    await given.abort();
    await given.abort();
    t.same(countsOf(counts.failures), { 'in client': 1 }, 'given up by the caller, once');

    const hanging = await storage.createWriter(uuid, 'file0');
    inner.faults.hang('write');
    const writing = hanging.write(Buffer.alloc(5));
    await hanging.abort();
    await t.rejects(writing);
    inner.faults.heal();
    t.same(countsOf(counts.errors), {}, 'a write ended by an abort is no error of the storage');

    inner.faults.fail('write', new Error('disk'));
    const broken = await storage.createWriter(uuid, 'file0');
    await t.rejects(broken.write(Buffer.alloc(5)), { message: 'disk' });
    await broken.abort();
    t.same(countsOf(counts.failures), { 'in client': 2, 'in storage': 1 });
    t.same(countsOf(counts.errors), { 'local write': 1 });
});

void t.test('transfers out', async (t) => {
    const { inner, counts, storage, uuid } = setUp();
    inner.plant(uuid, 'file0', randomBytes(200_000));
    const read = await storage.open(uuid, 'file0', { start: 5, end: 14 });
    await buffer(read!.stream); // planted above
    t.same(countsOf(counts.bytes), { 'out local': 10 });

    const closed = async (stop: 'unread' | 'read'): Promise<void> => {
        const { stream } = (await storage.open(uuid, 'file0'))!; // planted above
        const gone = new Promise((resolve) => stream.once('close', resolve));
        if (stop === 'read') stream.once('data', () => stream.destroy());
        else stream.destroy();
        await gone;
    };
    await closed('unread');
    t.same(countsOf(counts.failures), {}, 'looked at only');
    await closed('read');
    t.same(countsOf(counts.failures), { 'out client': 1 });

    inner.faults.breakReadsAfter(100);
    await t.rejects(buffer((await storage.open(uuid, 'file0'))!.stream)); // planted above
    t.same(countsOf(counts.failures), { 'out client': 1, 'out storage': 1 });
    t.same(countsOf(counts.errors), { 'local read': 1 });
});

void t.test('calls that fail', async (t) => {
    const { inner, counts, storage, uuid } = setUp();
    for (const operation of ['open', 'stat', 'remove', 'copy', 'list', 'check'] as const) {
        inner.faults.fail(operation, new Error(operation));
    }
    await t.rejects(storage.open(uuid, 'file0'));
    await t.rejects(storage.open(uuid, 'file0', { signal: AbortSignal.abort() }));
    await t.rejects(storage.stat(uuid, 'file0'));
    await t.rejects(storage.remove(uuid, 'file0'));
    await t.rejects(storage.removeTemporary(uuid, `file0.${randomUUID()}`));
    await t.rejects(storage.copy(uuid, randomUUID(), 'file0'));
    await t.rejects(storage.check());
    await t.rejects(async () => {
        for await (const file of storage.list()) t.fail(file.name);
    });
    const once = ['open', 'stat', 'copy', 'check', 'list'].map((op) => [`local ${op}`, 1]);
    t.same(countsOf(counts.errors), Object.fromEntries([...once, ['local remove', 2]]));
});
