import type { Test } from 'tap';
import { MorayClient } from '../client.js';
import { bench, BUCKET, keysOf, refusal } from './bench.js';
import type { OpenStore } from './bench.js';

/** What a Moray promises about searches, with its quirks (backends 4.3). */
export function findSuite(t: Test, openStore: OpenStore): void {
    void t.test('filters', async (t) => {
        const { client } = await bench(t, openStore);
        const values = {
            a: {
                name: 'base',
                size: 1,
                public: true,
                tags: ['role=db', 'x'],
                color: 'red',
                address: '10.0.0.9',
            },
            b: {
                name: 'base-64',
                size: 10,
                public: false,
                tags: ['role=web'],
                color: 'red',
                address: '10.0.0.10',
            },
            c: { name: 'a(b)*\\c', size: 2, tags: ['100%', 'a_b'] },
            d: { size: 3, tags: [] },
        };
        for (const [key, value] of Object.entries(values)) await client.put(BUCKET, key, value);
        const find = async (filter: string): Promise<string> =>
            [...keysOf(await client.find(BUCKET, filter))].sort().join('');
        for (const [filter, keys] of Object.entries({
            '(name=base)': 'a',
            'name=base': 'a',
            '(name=base*)': 'ab',
            '(name=*64)': 'b',
            '(name=*as*6*)': 'b',
            '(name=*)': 'abc',
            '(!(name=*))': 'd',
            '(!(name=base))': 'bcd',
            '(name=a\\28b\\29\\2a\\5cc)': 'c',
            '(name=*\\28b\\29*)': 'c',
            '(size>=2)': 'bcd',
            '(size<=2)': 'ac',
            '(size=10)': 'b',
            '(public=true)': 'a',
            '(!(public=true))': 'bcd',
            '(tags=role=db)': 'a',
            '(tags=100%)': 'c',
            '(tags=role)': '',
            '(tags=*)': 'abcd',
            '(address<=10.0.0.9)': 'a',
            '(&(name=base*)(size>=5))': 'b',
            '(|(name=base)(size=3))': 'ad',
            '(&(name=base*)(color=red)(!(tags=x)))': 'b',
            '(&(size>=1)(!(color=red)))': 'cd',
            '(_key=c)': 'c',
            '(name:caseIgnoreMatch:=BASE)': 'a',
            '(name:caseIgnoreSubstringsMatch:=BASE*)': 'ab',
        })) {
            t.equal(await find(filter), keys, filter);
        }
        for (const filter of ['(tags=role*)', '(color=red)', '(|(name=base)(color=red))', '(size=1*)']) {
            await refusal(t, find(filter), 'NotIndexedError');
        }
        for (const filter of ['(name=base', '(name=\\zz)', '(size=many)']) {
            await refusal(t, find(filter), 'InvocationError');
        }
    });

    void t.test('an array entry NULL leaves it unknown what the array does not hold', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { tags: ['NULL', 'x'] });
        await client.put(BUCKET, 'b', { tags: ['y', 'x'] });
        t.same(keysOf(await client.find(BUCKET, '(!(tags=x))')), []);
        t.same(keysOf(await client.find(BUCKET, '(!(tags=z))')), ['b']);
    });

    void t.test('order: bytes, numbers; nulls last ascending, first descending', async (t) => {
        const { client } = await bench(t, openStore);
        const names = ['b', 'B', 'a', 'é', 'a-b', 'ab', '', undefined];
        for (const [index, name] of names.entries()) {
            await client.put(BUCKET, `k${index}`, { name, size: index % 2, address: `10.0.0.${9 + index}` });
        }
        const find = async (sort: unknown, options: object = {}): Promise<readonly unknown[]> =>
            (await client.find(BUCKET, '(_key=*)', { sort, ...options })).map(({ value }) => value['name']);
        const ascending = ['', 'B', 'a', 'a-b', 'ab', 'b', 'é', undefined];
        t.same(await find({ attribute: 'name', order: 'ASC' }), ascending);
        t.same(await find({ attribute: 'name' }), ascending);
        t.same(await find([{ attribute: 'name', order: 'desc' }]), ascending.toReversed());
        t.same(await find({ attribute: 'address', order: 'DESC' }), names.toReversed());
        const both = [
            { attribute: 'size', order: 'DESC' },
            { attribute: 'name', order: 'asc' },
        ];
        t.same(await find(both), ['B', 'ab', 'é', undefined, '', 'a', 'a-b', 'b']);
        t.same(await find(both, { limit: 3, offset: 2 }), ['é', undefined, '']);
        t.same(await find(both, { offset: 7 }), ['b']);
    });

    void t.test('limits and counts', async (t) => {
        const { client } = await bench(t, openStore);
        const puts = Array.from({ length: 1005 }, (_none, index) => ({
            bucket: BUCKET,
            key: `k${index}`,
            value: { name: 'x', size: index, color: index % 2 === 0 ? 'red' : 'blue' },
        }));
        await client.call('batch', puts, {});
        const all = await client.find(BUCKET, '(name=x)');
        t.equal(all.length, 1000);
        t.equal(all[0]?._count, 1005);
        t.equal((await client.find(BUCKET, '(name=x)', { noLimit: true })).length, 1005);
        t.equal((await client.find(BUCKET, '(name=x)', { limit: 1003 })).length, 1003);
        t.same(await client.find(BUCKET, '(name=x)', { limit: 0 }), []);
        const [uncounted] = await client.find(BUCKET, '(name=x)', { limit: 1, no_count: true });
        t.notOk('_count' in (uncounted ?? {}));
        const sort = { attribute: 'size' };
        const reds = await client.find(BUCKET, '(&(name=x)(color=red))', { limit: 10, sort });
        t.same(
            reds.map(({ value }) => value['size']),
            [0, 2, 4, 6, 8],
            'an unindexed part is tested after the limit',
        );
        for (const options of [
            { limit: -1 },
            { limit: 1.5 },
            { limit: '5' },
            { offset: -1 },
            { sort: { attribute: 'name', order: 'up' } },
            { sort: { order: 'ASC' } },
        ]) {
            await refusal(t, client.find(BUCKET, '(name=x)', options), 'InvocationError');
        }
    });

    void t.test('wildcards of LIKE in a value use up the limit, and never match in the end', async (t) => {
        const { client } = await bench(t, openStore);
        for (const [index, name] of ['axb', 'a_b', 'a%b', 'ab', 'a\\b'].entries()) {
            await client.put(BUCKET, `k${index}`, { name, size: index });
        }
        const find = async (filter: string, limit: number): Promise<readonly string[]> =>
            keysOf(await client.find(BUCKET, filter, { limit, sort: { attribute: 'size' } }));
        t.same(await find('(name=a_*)', 1), []);
        t.same(await find('(name=a_*)', 10), ['k1']);
        t.same(await find('(name=*%*)', 2), []);
        t.same(await find('(name=*%*)', 10), ['k2']);
        t.same(await find('(name=a\\5cb*)', 10), [], 'a backslash is an escape to LIKE');
    });

    void t.test('options that must be heeded are acknowledged', async (t) => {
        const { double, client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'x', color: 'red' });
        const strict = await MorayClient.connect(double.port, {
            requireIndexes: true,
            requireOnlineReindexing: true,
        });
        t.teardown(() => strict.close());
        t.same(keysOf(await strict.find(BUCKET, '(name=x)')), ['a']);
        t.equal((await strict.get(BUCKET, 'a')).key, 'a');
        await refusal(t, strict.find(BUCKET, '(&(name=x)(color=red))'), 'NotIndexedError');
    });

    void t.test('changes of what a filter finds', async (t) => {
        const { client, double } = await bench(t, openStore);
        for (const key of ['a', 'b', 'c'])
            await client.put(BUCKET, key, { name: key, size: 1, color: 'red' });
        const updated = await client.call<{ count: number; etag: string }>(
            'updateObjects',
            BUCKET,
            { size: 7, tags: ['t'] },
            '(|(name=a)(name=b))',
            {},
        );
        t.equal(updated.count, 2);
        const object = await client.get(BUCKET, 'a');
        t.same(object.value, { name: 'a', size: 7, tags: ['t'], color: 'red' });
        t.equal(object._etag, updated.etag);
        await refusal(
            t,
            client.call('updateObjects', BUCKET, { color: 'blue' }, '(name=a)', {}),
            'NotIndexedError',
        );
        t.same(await client.call('deleteMany', BUCKET, '(size=7)', {}), { count: 2 });
        t.same(keysOf(await double.rows(BUCKET)), ['c']);
    });
}

/** What a Moray promises about itself. */
export function serverSuite(t: Test, openStore: OpenStore): void {
    void t.test('ping, version, unknown and wrong calls', async (t) => {
        const { client, double } = await bench(t, openStore);
        await client.call('ping', {});
        await client.call('ping', { deep: true });
        t.equal(await client.call('versionInternal', {}), 2);
        await refusal(t, client.call('getTokens', {}), 'InvocationError');
        await refusal(t, client.call('batch', [], {}), 'InvocationError');
        await refusal(t, client.put(BUCKET, 'a', {}, { etag: 5 }), 'InvocationError');
        t.match(double.rpcCounts, { createBucket: 1, ping: 2, version: 1, getTokens: 1, batch: 1, total: 7 });
        double.resetRpcCounts();
        t.same(double.rpcCounts, { total: 0 });
    });

    void t.test('stopped and started again it has its data and its port', async (t) => {
        const { client, double } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'x' });
        const { port } = double;
        await double.stop();
        t.equal(double.connections, 0);
        await t.rejects(client.get(BUCKET, 'a'));
        await double.restart();
        t.equal(double.port, port);
        const again = await MorayClient.connect(port);
        t.teardown(() => again.close());
        t.same((await again.get(BUCKET, 'a')).value, { name: 'x' });
    });
}
