import t, { type Test } from 'tap';
import { MorayClient } from '../doubles/moray/client.js';
import { MemoryStore } from '../doubles/moray/memory-store.js';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { PostgresStore } from '../doubles/moray/postgres-store.js';
import type { Store } from '../doubles/moray/store.js';
import { BUCKET, bench, refusal } from '../doubles/moray/suites/bench.js';
import type { OpenStore } from '../doubles/moray/suites/bench.js';
import { bucketSuite } from '../doubles/moray/suites/buckets.js';
import { batchSuite, objectSuite } from '../doubles/moray/suites/objects.js';
import { findSuite, serverSuite } from '../doubles/moray/suites/searches.js';
import { PostgresCluster, postgresMissing } from '../helpers/postgres.js';

function suite(t: Test, openStore: OpenStore): void {
    for (const part of [bucketSuite, objectSuite, batchSuite, findSuite, serverSuite]) part(t, openStore);
}

void t.test('in memory', (t) => {
    suite(t, async () => new MemoryStore());
    void t.test('there is no SQL', async (t) => {
        const { client } = await bench(t, async () => new MemoryStore());
        await refusal(t, client.sql('SELECT 1'), 'InvocationError');
    });
    t.end();
});

void t.test('in PostgreSQL', { skip: postgresMissing() }, async (t) => {
    const cluster = await PostgresCluster.start();
    t.teardown(() => cluster.stop());
    const openStore = async (): Promise<Store> => new PostgresStore(await cluster.createDatabase());
    suite(t, openStore);

    void t.test('SQL is passed through', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'x' });
        t.same(await client.sql('SELECT _key, name FROM things WHERE name = $1', ['x']), [
            { _key: 'a', name: 'x' },
        ]);
        await refusal(t, client.sql('SELEC'), 'InternalError');
    });

    void t.test('two servers on one database respect each other', async (t) => {
        const url = await cluster.createDatabase();
        const one = await bench(t, async () => new PostgresStore(url));
        const two = await MorayDouble.start({ store: new PostgresStore(url) });
        t.teardown(() => two.stop());
        const other = await MorayClient.connect(two.port);
        t.teardown(() => other.close());
        const puts = [one.client, other].flatMap((client) =>
            Array.from({ length: 10 }, (_none, index) =>
                client.put(BUCKET, 'a', { name: `${index}` }, { etag: null }),
            ),
        );
        const outcomes = await Promise.allSettled(puts);
        t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
        await other.get(BUCKET, 'a', { noCache: false });
        await one.client.put(BUCKET, 'a', { name: 'new' });
        t.same((await other.get(BUCKET, 'a')).value, { name: 'new' });
        t.not((await other.get(BUCKET, 'a', { noCache: false })).value['name'], 'new', 'a stale copy');
    });

    void t.test('without its database Moray says so, and recovers', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'x' });
        await cluster.crash();
        await refusal(t, client.get(BUCKET, 'a'), 'NoDatabasePeersError');
        await refusal(t, client.put(BUCKET, 'a', { name: 'y' }), 'NoDatabasePeersError');
        await refusal(t, client.call('ping', { deep: true }), 'NoDatabasePeersError');
        await cluster.up();
        t.same((await client.get(BUCKET, 'a')).value, { name: 'x' }, 'what was acknowledged is there');
        await client.put(BUCKET, 'a', { name: 'y' });
    });
});
