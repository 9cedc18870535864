import t, { type Test } from 'tap';
import { causeNamed, MorayClient } from '../doubles/moray/client.js';
import { MorayProcess } from '../doubles/moray/moray-process.js';
import { MemoryStore } from '../doubles/moray/memory-store.js';
import { BUCKET, bench, INDEX, keysOf, refusal } from '../doubles/moray/suites/bench.js';
import { PostgresCluster, postgresMissing } from '../helpers/postgres.js';
import { eventually } from '../helpers/server-process.js';

const RECONNECT_LIMIT_MS = 20_000;
const memory = async (): Promise<MemoryStore> => new MemoryStore();

/** Waits until the client, which connects again by itself, has its calls answered. */
async function reconnected(client: MorayClient): Promise<void> {
    await eventually('a connection', RECONNECT_LIMIT_MS, () =>
        client.call('ping', {}).then(
            () => true,
            () => false,
        ),
    );
}

async function connect(t: Test, port: number): Promise<MorayClient> {
    const client = await MorayClient.connect(port);
    t.teardown(() => client.close());
    return client;
}

void t.test('refused calls do nothing, and end after so many times', async (t) => {
    const { client, double } = await bench(t, memory);
    double.refuse('NoDatabasePeersError', 2, 'putObject');
    await refusal(t, client.put(BUCKET, 'a', {}), 'NoDatabasePeersError');
    t.same(await client.find(BUCKET, '(_key=*)'), [], 'other methods are answered');
    await refusal(t, client.put(BUCKET, 'a', {}), 'NoDatabasePeersError');
    t.same(await double.rows(BUCKET), []);
    await client.put(BUCKET, 'a', {});
    const context = { bucket: BUCKET, key: 'a', expected: 'x', actual: 'y' };
    double.refuse('EtagConflictError', 1, undefined, context);
    t.same((await refusal(t, client.get(BUCKET, 'a'), 'EtagConflictError')).context, context);
    double.refuse('QueryTimeoutError', 5);
    double.clearFaults();
    t.equal((await client.get(BUCKET, 'a')).key, 'a');
});

void t.test('delayed calls come later', async (t) => {
    const { client, double } = await bench(t, memory);
    double.delay(200, 'putObject');
    const start = performance.now();
    const put = client.put(BUCKET, 'a', {});
    await client.call('ping', {});
    t.same(await double.rows(BUCKET), [], 'the ping was not delayed');
    await put;
    t.ok(performance.now() - start >= 199);
    double.delay(0, 'putObject');
    double.delay(100);
    const next = performance.now();
    await client.put(BUCKET, 'b', {});
    t.ok(performance.now() - next >= 99);
});

void t.test('broken off before the change, or after it', async (t) => {
    const { client, double } = await bench(t, memory);
    double.breakOff('putObject', 1, 'before');
    await t.rejects(client.put(BUCKET, 'before', {}));
    t.same(await double.rows(BUCKET), []);
    await reconnected(client);
    double.breakOff('putObject', 1, 'after');
    const error: unknown = await client.put(BUCKET, 'after', {}).catch((reason: unknown) => reason);
    t.ok(causeNamed(error, 'FastProtocolError'), String(error));
    t.same(keysOf(await double.rows(BUCKET)), ['after']);
    await reconnected(client);
    await client.put(BUCKET, 'last', {});
    t.same(keysOf(await double.rows(BUCKET)), ['after', 'last']);
});

void t.test('hanging calls are never answered, and break with the connection', async (t) => {
    const { client, double } = await bench(t, memory);
    double.hang('getObject', 1);
    let answered = false;
    const hanging = client.get(BUCKET, 'a').then(
        () => (answered = true),
        (error: unknown) => error,
    );
    await refusal(t, client.get(BUCKET, 'a'), 'ObjectNotFoundError');
    t.notOk(answered, 'a later call was answered before');
    double.breakConnections();
    t.ok(causeNamed(await hanging, 'FastProtocolError'));
    await reconnected(client);
});

void t.test('paused calls wait at a gate', async (t) => {
    const { client, double } = await bench(t, memory);
    await client.put(BUCKET, 'a', { name: '1' });
    const gate = double.pauseMethod('putObject');
    const puts = ['2', '3'].map((name) => client.put(BUCKET, 'a', { name }));
    await gate.arrived(2);
    t.equal(gate.waiting, 2);
    t.same((await client.get(BUCKET, 'a')).value, { name: '1' });
    gate.resume();
    await Promise.all(puts);
    t.same((await client.get(BUCKET, 'a')).value, { name: '3' });
    await client.put(BUCKET, 'a', { name: '4' });
    t.equal(gate.waiting, 0);
});

void t.test('a lost database refuses what needs it', async (t) => {
    const { client, double } = await bench(t, memory);
    await client.put(BUCKET, 'a', {});
    double.loseDatabase();
    await refusal(t, client.get(BUCKET, 'a'), 'NoDatabasePeersError');
    await refusal(t, client.find(BUCKET, '(_key=*)'), 'NoDatabasePeersError');
    await refusal(
        t,
        client.call('batch', [{ bucket: BUCKET, key: 'b', value: {} }], {}),
        'NoDatabasePeersError',
    );
    await refusal(t, client.call('ping', { deep: true }), 'NoDatabasePeersError');
    await client.call('ping', {});
    await client.call('versionInternal', {});
    double.restoreDatabase();
    t.same(keysOf(await double.rows(BUCKET)), ['a']);
    t.equal((await client.get(BUCKET, 'a')).key, 'a');
});

void t.test('as a process it counts its calls and ends when told', async (t) => {
    const process = await MorayProcess.start();
    t.teardown(() => process.kill());
    const client = await connect(t, process.port);
    await client.call('createBucket', BUCKET, { index: INDEX }, {});
    await client.put(BUCKET, 'a', {});
    await client.put(BUCKET, 'b', {});
    t.same(await process.rpcCounts(), { createBucket: 1, putObject: 2, total: 3 });
    await process.stop();
    await t.rejects(client.get(BUCKET, 'a'));
    await t.rejects(MorayProcess.start({ postgres: 'no url', port: -1 }), /did not start/);
});

void t.test('killed, it loses nothing that it acknowledged', { skip: postgresMissing() }, async (t) => {
    const cluster = await PostgresCluster.start();
    t.teardown(() => cluster.stop());
    const postgres = await cluster.createDatabase();
    const first = await MorayProcess.start({ postgres });
    t.teardown(() => first.kill());
    const client = await connect(t, first.port);
    await client.call('createBucket', BUCKET, { index: INDEX }, {});
    const acknowledged: string[] = [];
    const writer = async (name: string): Promise<void> => {
        for (let index = 0; ; index++) {
            const key = `${name}-${index}`;
            await client.put(BUCKET, key, { name: key }, { etag: null });
            acknowledged.push(key);
        }
    };
    const writers = ['a', 'b', 'c', 'd'].map((name) => t.rejects(writer(name)));
    await eventually('some puts', RECONNECT_LIMIT_MS, () => acknowledged.length > 50);
    await first.kill();
    await Promise.all(writers);
    const second = await MorayProcess.start({ postgres, port: first.port });
    t.teardown(() => second.kill());
    t.equal(second.port, first.port);
    await reconnected(client);
    const found = new Set(keysOf(await client.find(BUCKET, '(name=*)', { noLimit: true })));
    t.same(
        acknowledged.filter((key) => !found.has(key)),
        [],
    );
    t.ok(found.size - acknowledged.length <= 4, 'at most one unanswered put of each writer');
});
