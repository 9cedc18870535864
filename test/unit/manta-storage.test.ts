import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { DOWN, LIMITS, refused } from '../helpers/manta-objects.js';
import { storageBench, type StorageBench } from '../helpers/manta-storage.js';

const HOUR = 3_600_000;
const BYTES = randomBytes(100_000);

/** What the only entry of the journal says. */
async function onlyEntry(
    t: Test,
    bench: StorageBench,
): Promise<{ readonly path: string; readonly record: Readonly<Record<string, unknown>> }> {
    const [name = '', ...others] = await bench.entries();
    t.same(others, []);
    const path = join(bench.deletes, name);
    return { path, record: JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown> };
}

/** Nothing is left but one final file. */
async function requireStored(t: Test, bench: StorageBench, uuid: string, name: string): Promise<void> {
    t.same(bench.double.objects(bench.rootDir), [
        `${bench.rootDir}/images/${uuid.slice(0, 3)}/${uuid}/${name}`,
    ]);
    t.same(await bench.entries(), []);
}

void t.test('a temporary object is noted before the first byte, until it is final or gone', async (t) => {
    const bench = await storageBench(t);
    const { storage, double, clock } = bench;
    const uuid = randomUUID();
    const hold = double.hold({ kind: ['mkdir', 'put'] });
    const creating = storage.createWriter(uuid, 'file0');
    await hold.arrived();
    const { record } = await onlyEntry(t, bench);
    t.match(record, { uuid, notBefore: clock.time + 48 * HOUR, pid: process.pid });
    hold.resume();
    const writer = await creating;
    t.same(record['files'], [{ stor: 'manta', name: writer.temporaryName }]);
    await writer.write(BYTES);
    await writer.close();
    t.equal((await bench.entries()).length, 1);
    t.equal(await bench.journal.pass(), 1, 'an upload that goes on is left alone');
    await writer.commit();
    await requireStored(t, bench, uuid, 'file0');
    const aborted = await storage.createWriter(uuid, 'icon');
    await aborted.write(BYTES);
    await aborted.abort();
    await requireStored(t, bench, uuid, 'file0');
});

void t.test('what a Manta that is away keeps is left to the next pass, and not waited for', async (t) => {
    const bench = await storageBench(t, { limits: LIMITS });
    const { storage, journal, double, records } = bench;
    const uuid = randomUUID();
    const writer = await storage.createWriter(uuid, 'file0');
    await writer.write(BYTES);
    const closed = await storage.createWriter(uuid, 'icon');
    await closed.write(BYTES);
    await closed.close();
    double.inject({ hang: true });
    double.cutConnections();
    await t.rejects(async () => {
        // The first ones may still go into the buffers of this machine.
        for (;;) await writer.write(BYTES);
    }, DOWN);
    await t.rejects(closed.commit(), DOWN);
    await t.rejects(storage.createWriter(uuid, 'file0'), DOWN);
    double.clearRequests();
    await Promise.all([writer.abort(), closed.abort()]);
    t.match(
        double.requests().map(({ method, path }) => ({ method, path })),
        [{ method: 'DELETE', path: new RegExp(`/${closed.temporaryName}$`) }],
        'it is asked only for what it may still make visible',
    );
    t.same(storage.uploadsInProgress(), []);
    t.equal((await bench.entries()).length, 3);
    t.ok(records.some(({ msg }) => msg.includes('left to the next pass')));
    t.equal(await journal.pass(), 3, 'it is still away');
    double.clearFaults();
    t.not(double.objects(bench.rootDir).length, 0);
    t.equal(await journal.pass(), 0, 'the process that noted them is at it no more');
    t.same(await bench.left(), []);
});

void t.test('what a slow Manta is still to make visible does not come once it was given up', async (t) => {
    const bench = await storageBench(t, { limits: LIMITS });
    const { storage, double } = bench;
    const uuid = randomUUID();
    const writer = await storage.createWriter(uuid, 'file0');
    await writer.write(BYTES);
    await writer.close();
    const hold = double.hold({ kind: 'link' });
    await t.rejects(writer.commit(), DOWN);
    await writer.abort();
    hold.resume();
    await double.waitFor({ kind: 'link' }, { done: true });
    t.equal(await storage.stat(uuid, 'file0'), undefined);
    t.same(await bench.left(), []);
    t.same(await bench.entries(), []);
});

void t.test('a store that refuses leaves nothing behind', async (t) => {
    const bench = await storageBench(t);
    const { storage, double } = bench;
    const uuid = randomUUID();
    const error = { status: 403, code: 'NoMatchingRoleTag', message: 'no' };
    const mend = double.inject({ refuse: error }, { kind: 'put' });
    await t.rejects(storage.createWriter(uuid, 'file0'), refused(403));
    mend();
    t.same(await bench.left(), [], 'the directory neither');
    t.same(await bench.entries(), []);
    const writer = await storage.createWriter(uuid, 'file0');
    await writer.write(BYTES);
    await writer.close();
    double.inject({ refuse: error }, { kind: 'link' });
    await t.rejects(writer.commit(), refused(403));
    await writer.abort();
    t.same(await bench.left(), []);
    t.same(await bench.entries(), []);
});

void t.test('a temporary object that cannot be removed once it is final goes later', async (t) => {
    const bench = await storageBench(t, { limits: LIMITS });
    const uuid = randomUUID();
    const writer = await bench.storage.createWriter(uuid, 'file0');
    await writer.write(BYTES);
    await writer.close();
    const mend = bench.double.inject({ refuse: 503 }, { kind: 'delete' });
    await writer.commit();
    t.equal(bench.double.objects(bench.rootDir).length, 2);
    mend();
    t.equal(await bench.journal.pass(), 0);
    await requireStored(t, bench, uuid, 'file0');
});

void t.test('an object that may still appear after an abort is looked for again', async (t) => {
    const bench = await storageBench(t);
    const { storage, journal, double } = bench;
    for (const size of [undefined, BYTES.length]) {
        const hold = double.hold({ kind: 'put' }, 'after');
        const writer = await storage.createWriter(randomUUID(), 'file0', size === undefined ? {} : { size });
        await writer.write(BYTES);
        const closing = size === undefined ? writer.close() : Promise.reject(new Error('not closed'));
        closing.catch(() => undefined);
        await hold.arrived();
        await writer.abort();
        await t.rejects(closing);
        t.equal((await bench.entries()).length, 1);
        hold.resume();
        t.equal(await journal.pass(), 0);
        t.same(await bench.left(), []);
    }
});

void t.test(
    'what a process has left is removed at once when it has ended, else after 48 hours',
    async (t) => {
        const bench = await storageBench(t);
        const uuid = randomUUID();
        const plant = async (changes: object): Promise<void> => {
            const writer = await bench.storage.createWriter(uuid, 'file0');
            await writer.write(BYTES);
            await writer.close();
            const { path, record } = await onlyEntry(t, bench);
            writeFileSync(path, JSON.stringify({ ...record, ...changes }));
        };
        await plant({ pid: process.ppid, startTime: undefined });
        const second = bench.again();
        t.equal(await second.journal.pass(), 1, 'another process, which goes on');
        t.equal((await bench.left()).length, 2);
        bench.clock.time += 48 * HOUR;
        t.equal(await second.journal.pass(), 0);
        t.same(await bench.left(), []);
        await plant({ bootId: 'of an earlier start of the machine' });
        t.equal(await second.journal.pass(), 0);
        t.same(await bench.left(), []);
    },
);

void t.test('readers and copies', async (t) => {
    const bench = await storageBench(t);
    const { storage, double } = bench;
    const [from, to] = [randomUUID(), randomUUID()];
    const writer = await storage.createWriter(from, 'file0', { size: BYTES.length });
    await writer.write(BYTES);
    await writer.close();
    await writer.commit();
    const opened = await storage.open(from, 'file0', { start: 10, end: 19 });
    t.ok((await buffer(opened!.stream)).equals(BYTES.subarray(10, 20)));
    double.clearRequests();
    await storage.copy(from, to, 'file0');
    t.equal(double.requests({ kind: 'put' }).length, 0, 'by a link');
    const found = await storage.stat(to, 'file0');
    t.same(found, await storage.stat(from, 'file0'));
    await t.rejects(storage.copy(randomUUID(), randomUUID(), 'icon'), { code: 'ENOENT' });
    t.equal((await bench.left()).filter((name) => !name.includes('/')).length, 2, 'no directory for nothing');
});
