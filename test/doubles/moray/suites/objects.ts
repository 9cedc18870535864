import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { causeNamed } from '../client.js';
import { bench, BUCKET, etagOf, refusal } from './bench.js';
import type { OpenStore } from './bench.js';

/** What a Moray promises about single objects (backends 4.3). */
export function objectSuite(t: Test, openStore: OpenStore): void {
    void t.test(
        'an object is answered with its row fields; its etag is the CRC-32 of the text',
        async (t) => {
            const { client } = await bench(t, openStore);
            const value = { name: 'é', nested: { list: [1, null] } };
            const before = Date.now();
            t.same(await client.put(BUCKET, 'a/b c', value), { etag: etagOf(value) });
            const object = await client.get(BUCKET, 'a/b c');
            t.match(object, { bucket: BUCKET, key: 'a/b c', value, _etag: etagOf(value), _txn_snap: null });
            t.ok(object._mtime >= before && object._mtime <= Date.now());
            t.notOk('_count' in object);
            await client.put(BUCKET, 'a/b c', { name: 'f' });
            t.match(await client.get(BUCKET, 'a/b c'), { value: { name: 'f' }, _id: object._id });
            await client.call('delObject', BUCKET, 'a/b c', {});
            const missing = await refusal(t, client.get(BUCKET, 'a/b c'), 'ObjectNotFoundError');
            t.equal(missing.message, 'things::a/b c does not exist');
            await refusal(t, client.call('delObject', BUCKET, 'a/b c', {}), 'ObjectNotFoundError');
        },
    );

    void t.test('the etag option: absent, null, and a string', async (t) => {
        const { client } = await bench(t, openStore);
        const { etag } = await client.put(BUCKET, 'a', { name: '1' }, { etag: null });
        const taken = await refusal(
            t,
            client.put(BUCKET, 'a', { name: '2' }, { etag: null }),
            'EtagConflictError',
        );
        t.same(taken.context, { bucket: BUCKET, key: 'a', expected: null, actual: etag });
        const wrong = await refusal(
            t,
            client.put(BUCKET, 'a', {}, { etag: 'ffffffff' }),
            'EtagConflictError',
        );
        t.same(wrong.context, { bucket: BUCKET, key: 'a', expected: 'ffffffff', actual: etag });
        const gone = await refusal(t, client.put(BUCKET, 'b', {}, { etag }), 'EtagConflictError');
        t.same(gone.context, { bucket: BUCKET, key: 'b', expected: etag, actual: null });
        t.same((await client.get(BUCKET, 'a')).value, { name: '1' });
        await client.put(BUCKET, 'a', { name: '2' }, { etag });
        await refusal(t, client.call('delObject', BUCKET, 'a', { etag }), 'EtagConflictError');
        await client.put(BUCKET, 'a', { name: '3' });
        await client.call('delObject', BUCKET, 'a', { etag: etagOf({ name: '3' }) });
        await refusal(t, client.get(BUCKET, 'a'), 'ObjectNotFoundError');
    });

    void t.test('of many that put with one etag at once, exactly one succeeds', async (t) => {
        const { client } = await bench(t, openStore);
        for (const etag of [null, etagOf({ name: '0' })]) {
            const puts = Array.from({ length: 20 }, (_none, index) =>
                client.put(BUCKET, 'a', { name: `n${index}` }, { etag }),
            );
            const outcomes = await Promise.allSettled(puts);
            t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
            for (const outcome of outcomes) {
                if (outcome.status === 'rejected') t.ok(causeNamed(outcome.reason, 'EtagConflictError'));
            }
            await client.put(BUCKET, 'a', { name: '0' });
        }
    });

    void t.test('unique indexes', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { urn: 'x:y' });
        const error = await refusal(t, client.put(BUCKET, 'b', { urn: 'x:y' }), 'UniqueAttributeError');
        t.equal(error.message, "urn is a unique attribute and value 'x:y' already exists");
        await client.put(BUCKET, 'a', { urn: 'x:y', name: 'again' });
        await client.put(BUCKET, 'b', {});
        await client.put(BUCKET, 'c', {});
        await refusal(t, client.put(BUCKET, 'b', { urn: 'x:y' }), 'UniqueAttributeError');
        t.same((await client.get(BUCKET, 'b')).value, {});
    });

    void t.test('on read each indexed field has the value of its column', async (t) => {
        const { client } = await bench(t, openStore);
        const read = async (value: object): Promise<object> => {
            await client.put(BUCKET, 'a', value);
            return (await client.get(BUCKET, 'a')).value;
        };
        t.same(await read({ name: 5, size: '12.50', public: 'true', other: 5 }), {
            name: '5',
            size: 12.5,
            public: true,
            other: 5,
        });
        t.same(await read({ name: null, size: null, other: null }), { other: null });
        t.same(await read({ name: '', public: false }), { name: '', public: false });
        t.same(await read({ address: '10.0.0.1' }), { address: '10.0.0.1' });
        t.same(await read({ name: ' kept ', tags: [' a ', 'b\t', 'in side'] }), {
            name: ' kept ',
            tags: ['a', 'b', 'in side'],
        });
        t.same(await read({ tags: ['NULL', 'null', 'nullable', 'a'] }), {
            tags: [null, null, 'nullable', 'a'],
        });
        t.same(await read({ tags: ['a,b', '{c}', '"d"', 'e\\f', "g'h"] }), {
            tags: ['a,b', '{c}', '"d"', 'e\\f', "g'h"],
        });
        t.same(await read({ tags: [''] }), { tags: [] });
        t.same(await read({ tags: [] }), { tags: [] });
        t.same(await read({ tags: 'one' }), { tags: ['one'] });
        t.same(await read({ sizes: [1, '2.5'] }), { sizes: [1, 2.5] });
    });

    void t.test('what the database refuses leaves the old object', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'old' });
        const long = randomBytes(3000).toString('hex');
        for (const [what, value] of Object.entries({
            'an empty entry beside others': { tags: ['', 'a'] },
            'an empty entry between others': { tags: ['a', ' ', 'b'] },
            'text that is no number': { size: 'many' },
            'text that is no boolean': { public: 'perhaps' },
            'text that is no address': { address: '10.0.0' },
            'a NUL': { name: 'a\0b' },
            'a long string': { name: long },
            'a long entry': { tags: [long] },
        })) {
            await t.test(what, async (t) => {
                await refusal(t, client.put(BUCKET, 'a', value), 'InternalError');
                t.same((await client.get(BUCKET, 'a')).value, { name: 'old' });
            });
        }
        await client.put(BUCKET, 'a', { other: long });
        t.same((await client.get(BUCKET, 'a')).value, { other: long });
    });

    void t.test('getObject without noCache may give what is no more', async (t) => {
        const { client, double } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: '1' });
        await client.get(BUCKET, 'a');
        t.equal(double.cachedReads, 0);
        await client.get(BUCKET, 'a', { noCache: false });
        await double.putRaw(BUCKET, 'a', { name: '2' });
        t.same((await client.get(BUCKET, 'a', { noCache: false })).value, { name: '1' });
        t.same((await client.get(BUCKET, 'a')).value, { name: '2' });
        t.equal(double.cachedReads, 2);
        await client.put(BUCKET, 'a', { name: '3' });
        t.same((await client.get(BUCKET, 'a', { noCache: false })).value, { name: '3' });
    });
}

/** What a Moray promises about batches. */
export function batchSuite(t: Test, openStore: OpenStore): void {
    void t.test('a batch does all of its requests', async (t) => {
        const { client, double } = await bench(t, openStore);
        const { etag } = await client.put(BUCKET, 'old', { name: 'x' });
        const moved = { name: 'y', size: 1 };
        const requests = [
            { bucket: BUCKET, key: 'new', value: moved, options: { etag: null } },
            { bucket: BUCKET, operation: 'delete', key: 'old', options: { etag } },
        ];
        t.same(await client.call('batch', requests, {}), {
            etags: [{ bucket: BUCKET, key: 'new', etag: etagOf(moved) }],
        });
        t.same(
            (await double.rows(BUCKET)).map(({ key, value }) => ({ key, value })),
            [{ key: 'new', value: moved }],
        );
        const further = [
            { bucket: BUCKET, operation: 'update', fields: { size: 2 }, filter: '(name=y)' },
            { bucket: BUCKET, operation: 'deleteMany', filter: '(name=z)' },
        ];
        t.match(await client.call('batch', further, {}), {
            etags: [
                { bucket: BUCKET, count: 1, etag: /^[0-9a-f]{8}$/ },
                { bucket: BUCKET, count: 0 },
            ],
        });
        t.same((await client.get(BUCKET, 'new')).value, { name: 'y', size: 2 });
    });

    void t.test('a batch that fails has done nothing', async (t) => {
        const { client, double } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { urn: 'taken' });
        const before = await double.rows(BUCKET);
        const put = { bucket: BUCKET, key: 'new', value: { name: 'n' } };
        const remove = { bucket: BUCKET, operation: 'delete', key: 'a' };
        const change = { bucket: BUCKET, key: 'a', value: { name: 'changed' } };
        for (const [name, last] of [
            ['ObjectNotFoundError', { ...remove, key: 'nowhere' }],
            ['EtagConflictError', { ...put, options: { etag: null } }],
            ['EtagConflictError', { ...remove, options: { etag: '00000000' } }],
            ['BucketNotFoundError', { ...put, bucket: 'nowhere' }],
            ['NotIndexedError', { bucket: BUCKET, operation: 'deleteMany', filter: '(x=y)' }],
        ] as const) {
            await refusal(t, client.call('batch', [put, change, last], {}), name);
            t.same(await double.rows(BUCKET), before, name);
        }
        const twice = { ...put, value: { urn: 'taken' } };
        await refusal(t, client.call('batch', [put, twice], {}), 'UniqueAttributeError');
        t.same(await double.rows(BUCKET), before);
    });
}
