import type { Test } from 'tap';
import { bench, BUCKET, INDEX, keysOf, refusal } from './bench.js';
import type { OpenStore } from './bench.js';

/** What a Moray promises about buckets. */
export function bucketSuite(t: Test, openStore: OpenStore): void {
    void t.test('buckets are made, read, listed, changed and removed', async (t) => {
        const { client } = await bench(t, openStore);
        t.match(await client.call('getBucket', BUCKET, {}), {
            name: BUCKET,
            index: INDEX,
            pre: [],
            post: [],
            options: { version: 0 },
            mtime: Date,
        });
        await client.call('putBucket', 'other', { index: {} }, {});
        t.same(
            (await client.call<{ name: string }[]>('listBuckets', {})).map(({ name }) => name).sort(),
            ['other', BUCKET].sort(),
        );
        await refusal(t, client.call('createBucket', BUCKET, {}, {}), 'BucketConflictError');
        await client.call('delBucket', 'other', {});
        await refusal(t, client.call('getBucket', 'other', {}), 'BucketNotFoundError');
        await refusal(t, client.call('delBucket', 'other', {}), 'BucketNotFoundError');
        await refusal(t, client.call('updateBucket', 'other', {}, {}), 'BucketNotFoundError');
        await refusal(t, client.put('other', 'a', {}), 'BucketNotFoundError');
        await refusal(t, client.get('other', 'a'), 'BucketNotFoundError');
        await refusal(t, client.find('other', '(a=b)'), 'BucketNotFoundError');
    });

    void t.test('wrong buckets are refused', async (t) => {
        const { client } = await bench(t, openStore);
        const create = (name: string, config: object): Promise<unknown> =>
            client.call('createBucket', name, config, {});
        await refusal(t, create('no-dashes', {}), 'InvalidBucketNameError');
        await refusal(t, create('b', { index: 'x' }), 'InvalidBucketConfigError');
        await refusal(t, create('b', { options: { version: -1 } }), 'InvalidBucketConfigError');
        await refusal(t, create('b', { index: { a: { type: 'text' } } }), 'InvalidIndexDefinitionError');
        await refusal(t, create('b', { index: { _a: { type: 'string' } } }), 'InvalidIndexDefinitionError');
        await create('b', { options: { version: 3 } });
        const older = { options: { version: 2 } };
        await refusal(t, client.call('updateBucket', 'b', older, {}), 'BucketVersionError');
    });

    void t.test('a new column hides the field until the row is written again', async (t) => {
        const { client } = await bench(t, openStore);
        await client.put(BUCKET, 'a', { name: 'one', color: 'red' });
        t.same((await client.get(BUCKET, 'a')).value, { name: 'one', color: 'red' });
        const index = { ...INDEX, color: { type: 'string' } };
        await client.call('updateBucket', BUCKET, { index }, {});
        t.same((await client.get(BUCKET, 'a')).value, { name: 'one' });
        t.same(await client.find(BUCKET, '(color=red)'), []);
        await client.put(BUCKET, 'a', { name: 'one', color: 'red' });
        t.same(keysOf(await client.find(BUCKET, '(color=red)')), ['a']);
        await client.call('updateBucket', BUCKET, { index: INDEX }, {});
        t.same((await client.get(BUCKET, 'a')).value, { name: 'one', color: 'red' });
        await refusal(t, client.find(BUCKET, '(color=red)'), 'NotIndexedError');
    });

    void t.test('with a version, the field stays and reindexObjects fills the column', async (t) => {
        const { client } = await bench(t, openStore);
        for (const key of ['a', 'b', 'c']) await client.put(BUCKET, key, { name: key, color: 'red' });
        const { _etag } = await client.get(BUCKET, 'a');
        const index = { ...INDEX, color: { type: 'string' } };
        await client.call('updateBucket', BUCKET, { index, options: { version: 1 } }, {});
        t.same((await client.get(BUCKET, 'a')).value, { name: 'a', color: 'red' });
        t.match(await client.call('getBucket', BUCKET, {}), { reindex_active: { 1: ['color'] } });
        await refusal(t, client.find(BUCKET, '(color=red)'), 'NotIndexedError');
        t.same(await client.call('reindexObjects', BUCKET, 2, {}), { processed: 2 });
        t.same(await client.call('reindexObjects', BUCKET, 2, {}), { processed: 1 });
        t.same(await client.call('reindexObjects', BUCKET, 2, {}), { processed: 0 });
        t.same(await client.find(BUCKET, '(color=red)', { limit: 0 }), []);
        t.same(keysOf(await client.find(BUCKET, '(color=red)', { sort: { attribute: 'name' } })), [
            'a',
            'b',
            'c',
        ]);
        t.equal((await client.get(BUCKET, 'a'))._etag, _etag);
    });
}
