import { etagOption, objectArgument, requireBucket, stringArgument } from './arguments.js';
import type { Options } from './arguments.js';
import type { Procedures } from './calls.js';
import { put, remove, removeMany, updateMany } from './changes.js';
import { invocationError } from './moray-error.js';
import type { Transaction } from './store.js';

/** What a batch answers of one of its requests. Deletions of single objects leave no entry. */
interface Entry {
    readonly bucket: string;
    readonly key?: string;
    readonly etag?: string;
    readonly count?: number;
}

function requestsOf(argument: unknown): readonly Options[] {
    if (!Array.isArray(argument) || argument.length === 0) {
        throw invocationError('batch: requests must be an array with entries');
    }
    return argument.map((request, index) => objectArgument('batch', `requests[${index}]`, request));
}

async function apply(transaction: Transaction, request: Options): Promise<Entry | undefined> {
    const bucket = await requireBucket(transaction, stringArgument('batch', 'bucket', request['bucket']));
    const options = objectArgument('batch', 'options', request['options']);
    const key = (): string => stringArgument('batch', 'key', request['key']);
    const filter = (): string => stringArgument('batch', 'filter', request['filter']);
    switch (request['operation'] ?? 'put') {
        case 'put': {
            const value = objectArgument('batch', 'value', request['value']);
            const etag = await put(transaction, bucket, key(), value, etagOption('batch', options));
            return { bucket: bucket.name, key: key(), etag };
        }
        case 'delete':
            await remove(transaction, bucket, key(), etagOption('batch', options));
            return undefined;
        case 'update': {
            const fields = objectArgument('batch', 'fields', request['fields']);
            const updated = await updateMany(transaction, bucket, fields, filter(), options);
            return { bucket: bucket.name, ...updated };
        }
        case 'deleteMany': {
            const count = await removeMany(transaction, bucket, filter(), options);
            return { bucket: bucket.name, count };
        }
        default:
            throw invocationError(`batch: ${String(request['operation'])} is not an operation`);
    }
}

/** Several changes in one transaction: all of them or none. */
export const batchCall: Procedures = {
    async batch({ store, cache }, [requestsArgument]) {
        const requests = requestsOf(requestsArgument);
        const etags = await store.run(async (transaction) => {
            const entries: Entry[] = [];
            for (const request of requests) {
                const entry = await apply(transaction, request);
                if (entry !== undefined) entries.push(entry);
            }
            return entries;
        });
        cache.clear();
        return [{ etags }];
    },
};
