import { requireBucket, stringArgument } from './arguments.js';
import { bucketAnswer, readBucket, updatedBucket } from './bucket-config.js';
import type { Procedures } from './calls.js';

/** Procedures about buckets. Note the order of getBucket's arguments. */
export const bucketCalls: Procedures = {
    async createBucket({ store }, [name, config]) {
        const bucket = readBucket(stringArgument('createBucket', 'bucket', name), config);
        await store.run((transaction) => transaction.addBucket(bucket));
        return [];
    },

    async getBucket({ store }, [, name]) {
        const wanted = stringArgument('getBucket', 'bucket', name);
        const bucket = await store.run((transaction) => requireBucket(transaction, wanted), 'read');
        return [bucketAnswer(bucket)];
    },

    async listBuckets({ store }) {
        const buckets = await store.run((transaction) => transaction.buckets(), 'read');
        return buckets.map(bucketAnswer);
    },

    async updateBucket({ store, cache }, [name, config]) {
        const wanted = readBucket(stringArgument('updateBucket', 'bucket', name), config);
        await store.run(async (transaction) => {
            const old = await requireBucket(transaction, wanted.name);
            await transaction.changeBucket(old, updatedBucket(old, wanted));
        });
        cache.clear();
        return [];
    },

    async delBucket({ store, cache }, [name]) {
        const wanted = stringArgument('delBucket', 'bucket', name);
        await store.run(async (transaction) => {
            await transaction.removeBucket(await requireBucket(transaction, wanted));
        });
        cache.clear();
        return [];
    },
};
