import { etagOption, objectArgument, requireBucket, stringArgument } from './arguments.js';
import type { Options } from './arguments.js';
import type { Procedures } from './calls.js';
import { put, reindex, remove, removeMany, updateMany } from './changes.js';
import { invocationError, objectNotFound } from './moray-error.js';
import { objectOf } from './objects.js';
import { search } from './search.js';

/** Options that a caller may insist on: it then gets a first message that says they were heeded. */
const ACKNOWLEDGED = { _handledOptions: ['requireIndexes', 'requireOnlineReindexing'] } as const;

function acknowledgement(options: Options): readonly object[] {
    const internal = objectArgument('options', 'internalOpts', options['internalOpts']);
    return internal['sendHandledOptions'] === true ? [ACKNOWLEDGED] : [];
}

/** Procedures about single objects and about those that a filter finds. */
export const objectCalls: Procedures = {
    async putObject({ store, cache }, [bucketName, keyArgument, valueArgument, optionsArgument]) {
        const name = stringArgument('putObject', 'bucket', bucketName);
        const key = stringArgument('putObject', 'key', keyArgument);
        const value = objectArgument('putObject', 'value', valueArgument);
        const expected = etagOption('putObject', objectArgument('putObject', 'options', optionsArgument));
        const etag = await store.run(async (transaction) =>
            put(transaction, await requireBucket(transaction, name), key, value, expected),
        );
        cache.drop(name, key);
        return [{ etag }];
    },

    async getObject({ store, cache }, [bucketName, keyArgument, optionsArgument]) {
        const name = stringArgument('getObject', 'bucket', bucketName);
        const key = stringArgument('getObject', 'key', keyArgument);
        const options = objectArgument('getObject', 'options', optionsArgument);
        const mayCache = options['noCache'] !== true;
        const cached = mayCache ? cache.get(name, key) : undefined;
        if (cached !== undefined) return [...acknowledgement(options), cached];
        const object = await store.run(async (transaction) => {
            const bucket = await requireBucket(transaction, name);
            const row = await transaction.load(bucket, key);
            if (row === undefined) throw objectNotFound(name, key);
            return objectOf(bucket, row);
        }, 'read');
        if (mayCache) cache.put(object);
        return [...acknowledgement(options), object];
    },

    async delObject({ store, cache }, [bucketName, keyArgument, optionsArgument]) {
        const name = stringArgument('delObject', 'bucket', bucketName);
        const key = stringArgument('delObject', 'key', keyArgument);
        const expected = etagOption('delObject', objectArgument('delObject', 'options', optionsArgument));
        await store.run(async (transaction) =>
            remove(transaction, await requireBucket(transaction, name), key, expected),
        );
        cache.drop(name, key);
        return [];
    },

    async findObjects({ store }, [bucketName, filterArgument, optionsArgument]) {
        const name = stringArgument('findObjects', 'bucket', bucketName);
        const filter = stringArgument('findObjects', 'filter', filterArgument);
        const options = objectArgument('findObjects', 'options', optionsArgument);
        const objects = await store.run(async (transaction) => {
            const bucket = await requireBucket(transaction, name);
            const { rows, count } = await search(transaction, bucket, filter, options, 'findObjects');
            return rows.map((row) => objectOf(bucket, row, count));
        }, 'read');
        return [...acknowledgement(options), ...objects];
    },

    async updateObjects({ store, cache }, [bucketName, fieldsArgument, filterArgument, optionsArgument]) {
        const name = stringArgument('updateObjects', 'bucket', bucketName);
        const fields = objectArgument('updateObjects', 'fields', fieldsArgument);
        const filter = stringArgument('updateObjects', 'filter', filterArgument);
        const options = objectArgument('updateObjects', 'options', optionsArgument);
        const updated = await store.run(async (transaction) =>
            updateMany(transaction, await requireBucket(transaction, name), fields, filter, options),
        );
        cache.clear();
        return [updated];
    },

    async deleteMany({ store, cache }, [bucketName, filterArgument, optionsArgument]) {
        const name = stringArgument('deleteMany', 'bucket', bucketName);
        const filter = stringArgument('deleteMany', 'filter', filterArgument);
        const options = objectArgument('deleteMany', 'options', optionsArgument);
        const count = await store.run(async (transaction) =>
            removeMany(transaction, await requireBucket(transaction, name), filter, options),
        );
        cache.clear();
        return [{ count }];
    },

    async reindexObjects({ store, cache }, [bucketName, countArgument]) {
        const name = stringArgument('reindexObjects', 'bucket', bucketName);
        if (typeof countArgument !== 'number' || !Number.isInteger(countArgument) || countArgument < 1) {
            throw invocationError('reindexObjects: count must be a positive integer');
        }
        const processed = await store.run(async (transaction) =>
            reindex(transaction, await requireBucket(transaction, name), countArgument),
        );
        cache.clear();
        return [{ processed }];
    },
};
