import { isArrayType, SCALAR_TYPES, scalarType } from './columns.js';
import type { IndexDefinition, IndexType } from './columns.js';
import { MorayError } from './moray-error.js';
import type { Bucket } from './store.js';

const BUCKET_NAME = /^[a-zA-Z]\w{0,62}$/;
const INDEX_NAME = /^[a-zA-Z]\w{0,62}$/;
const RESERVED_INDEX = /^(moray|_)/i;
const INDEX_TYPE = new RegExp(`^(${SCALAR_TYPES.join('|')}|\\[(${SCALAR_TYPES.join('|')})\\])$`);

function invalidConfig(bucket: string, reason: string): MorayError {
    return new MorayError('InvalidBucketConfigError', `${bucket}: ${reason}`, { bucket });
}

function invalidIndex(name: string, reason: string): MorayError {
    return new MorayError('InvalidIndexDefinitionError', `index ${name}: ${reason}`, { index: name });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readIndex(name: string, value: unknown): IndexDefinition {
    if (!INDEX_NAME.test(name) || RESERVED_INDEX.test(name)) throw invalidIndex(name, 'invalid name');
    if (!isObject(value)) throw invalidIndex(name, 'must be an object');
    const { type, unique } = value;
    if (typeof type !== 'string' || !INDEX_TYPE.test(type)) {
        throw invalidIndex(name, `invalid type ${JSON.stringify(type)}`);
    }
    if (unique !== undefined && typeof unique !== 'boolean') {
        throw invalidIndex(name, 'unique must be a boolean');
    }
    if (unique === true && isArrayType(type as IndexType))
        throw invalidIndex(name, 'arrays cannot be unique');
    return { type: type as IndexType, ...(unique === undefined ? {} : { unique }) };
}

function readTriggers(bucket: string, name: string, value: unknown): readonly string[] {
    if (value === undefined) return [];
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) {
        throw invalidConfig(bucket, `${name} must be an array of functions`);
    }
    return value;
}

/**
 * The bucket that a createBucket or updateBucket asks for.
 * @throws InvalidBucketNameError, InvalidBucketConfigError, InvalidIndexDefinitionError
 */
export function readBucket(name: string, config: unknown): Bucket {
    if (!BUCKET_NAME.test(name)) {
        throw new MorayError('InvalidBucketNameError', `${name} is not a valid bucket name`, {
            bucket: name,
        });
    }
    if (!isObject(config)) throw invalidConfig(name, 'must be an object');
    const { index = {}, options = {} } = config;
    if (!isObject(index)) throw invalidConfig(name, 'index must be an object');
    if (!isObject(options)) throw invalidConfig(name, 'options must be an object');
    const { version = 0 } = options;
    if (typeof version !== 'number' || !Number.isInteger(version) || version < 0) {
        throw invalidConfig(name, 'options.version must be a non-negative integer');
    }
    return {
        name,
        index: Object.fromEntries(Object.entries(index).map(([key, value]) => [key, readIndex(key, value)])),
        pre: readTriggers(name, 'pre', config['pre']),
        post: readTriggers(name, 'post', config['post']),
        options: { ...options, version },
        mtime: Date.now(),
        reindexActive: {},
    };
}

/**
 * The bucket after an update. New columns of a bucket with a version are marked as being filled until
 * reindexObjects has been through all rows; without a version they count at once.
 * @throws BucketVersionError when an older version is to replace a newer one; InvalidBucketConfigError
 */
export function updatedBucket(old: Bucket, wanted: Bucket): Bucket {
    const [before, after] = [old.options.version, wanted.options.version];
    if (after !== 0 && after < before) {
        const message = `bucket ${old.name} has version ${before}; ${after} is older`;
        throw new MorayError('BucketVersionError', message, {
            bucket: old.name,
            expected: before,
            actual: after,
        });
    }
    for (const [name, { type }] of Object.entries(wanted.index)) {
        const held = old.index[name];
        if (held !== undefined && scalarType(held.type) !== scalarType(type)) {
            throw invalidConfig(old.name, `index ${name} cannot change from ${held.type} to ${type}`);
        }
        if (held !== undefined && held.type !== type) {
            throw invalidConfig(old.name, `index ${name} cannot change between one value and many`);
        }
    }
    const added = Object.keys(wanted.index).filter((name) => !(name in old.index));
    const filling = Object.entries(old.reindexActive).map(
        ([version, names]) => [version, names.filter((name) => name in wanted.index)] as const,
    );
    if (after > 0 && added.length > 0) filling.push([String(after), added]);
    const reindexActive = Object.fromEntries(filling.filter(([, names]) => names.length > 0));
    return { ...wanted, reindexActive };
}

/** A bucket as getBucket and listBuckets answer it: the parts of its configuration are JSON texts. */
export function bucketAnswer(bucket: Bucket): object {
    return {
        name: bucket.name,
        index: JSON.stringify(bucket.index),
        pre: JSON.stringify(bucket.pre),
        post: JSON.stringify(bucket.post),
        options: JSON.stringify(bucket.options),
        mtime: new Date(bucket.mtime).toISOString(),
        ...(Object.keys(bucket.reindexActive).length === 0
            ? {}
            : { reindex_active: JSON.stringify(bucket.reindexActive) }),
    };
}
