/** An error as Moray sends it: clients test the name and, for conflicts, the context. */
export class MorayError extends Error {
    readonly context: Readonly<Record<string, unknown>>;

    constructor(name: string, message: string, context: Readonly<Record<string, unknown>> = {}) {
        super(message);
        this.name = name;
        this.context = context;
    }
}

/** Wrong arguments or options of a call. */
export function invocationError(message: string): MorayError {
    return new MorayError('InvocationError', message);
}

/** No such bucket. */
export function bucketNotFound(bucket: string): MorayError {
    return new MorayError('BucketNotFoundError', `${bucket} does not exist`, { bucket });
}

/** No such key in this bucket. */
export function objectNotFound(bucket: string, key: string): MorayError {
    return new MorayError('ObjectNotFoundError', `${bucket}::${key} does not exist`, { bucket, key });
}

/** The object is not in the version that the caller expected; `null` stands for "not there". */
export function etagConflict(
    bucket: string,
    key: string,
    expected: string | null,
    actual: string | null,
): MorayError {
    const message = `${bucket}::${key} has etag '${String(actual)}'; expected '${String(expected)}'`;
    return new MorayError('EtagConflictError', message, { bucket, key, expected, actual });
}

/** Another object of the bucket has this value already. */
export function uniqueAttribute(bucket: string, key: string, attribute: string, value: string): MorayError {
    const message = `${attribute} is a unique attribute and value '${value}' already exists`;
    return new MorayError('UniqueAttributeError', message, { bucket, key, attribute, value });
}

/** A filter (or sort) that no index of the bucket can serve. */
export function notIndexed(bucket: string, filter: string, reason: string): MorayError {
    const message = `${bucket} does not have indexes that support ${filter}. Reason: ${reason}`;
    return new MorayError('NotIndexedError', message, { bucket, filter });
}

/** What the database itself refused, in its own words. */
export function databaseRefused(message: string): MorayError {
    return new MorayError('InternalError', message);
}

/** What every call answers while Moray has no PostgreSQL behind it. */
export function noDatabasePeers(): MorayError {
    return new MorayError('NoDatabasePeersError', 'no active database peers');
}
