import type { IncomingMessage } from 'node:http';
import { ObjectStoreError, type ObjectRange, type OpenedObject } from '../object-store.js';
import type { MantaConnection } from './manta-connection.js';
import { mantaGet } from './manta-get.js';
import { ObjectStream } from './object-stream.js';

/** Bytes of an object that an answer has. */
interface Part {
    readonly start: number;
    /** How many. */
    readonly length: number;
    /** Bytes of the whole object. */
    readonly size: number;
}

/** The `Range` of a request; none for a whole object. */
function rangeHeader({ start = 0, end }: ObjectRange): Readonly<Record<string, string>> {
    return start === 0 && end === undefined ? {} : { range: `bytes=${start}-${end ?? ''}` };
}

/** Which bytes come; `undefined` when the answer does not say so. */
function partOf({ statusCode, headers }: IncomingMessage): Part | undefined {
    if (statusCode === 206) {
        const [, start, end, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
        return size === undefined
            ? undefined
            : { start: Number(start), length: Number(end) - Number(start) + 1, size: Number(size) };
    }
    const size = Number(headers['content-length']);
    return Number.isSafeInteger(size) ? { start: 0, length: size, size } : undefined;
}

/** Makes sure that an answer has the bytes that were asked for. @throws ObjectStoreError */
function requirePart(path: string, { start = 0, end }: ObjectRange, response: IncomingMessage): Part {
    if ((response.headers['content-type'] ?? '').includes('type=directory')) {
        throw new ObjectStoreError('ResourceNotFound', 404, `${path} is a directory`);
    }
    const part = partOf(response);
    const length = part && Math.min(end ?? Infinity, part.size - 1) - start + 1;
    if (part === undefined || part.start !== start || part.length !== length) {
        throw new ObjectStoreError('UnexpectedAnswer', response.statusCode ?? 0, `other bytes of ${path}`);
    }
    return part;
}

/**
 * Opens an object. A whole one is checked by its MD5 at the end.
 *
 * @throws as {@link ObjectStore} says; status 404 when there is no such object, 416 when the range begins behind its end
 */
export async function openObject(
    connection: MantaConnection,
    path: string,
    range: ObjectRange,
): Promise<OpenedObject> {
    const { signal } = range;
    const { result } = await connection.startRepeatable<OpenedObject>((client, call, done) => {
        mantaGet(client, path, {}, { ...call.headers, ...rangeHeader(range) }, (error, response) => {
            try {
                if (error !== undefined && error !== null) {
                    throw error as Error;
                }
                const part = requirePart(path, range, response);
                const { 'content-md5': md5, etag } = response.headers;
                const stream = new ObjectStream({
                    response,
                    length: part.length,
                    md5: part.length === part.size && typeof md5 === 'string' ? md5 : undefined,
                    stallMs: connection.limits.stall,
                    signal,
                    end: () => call.end(),
                });
                done(null, {
                    stream,
                    size: part.size,
                    ...(typeof md5 === 'string' ? { md5 } : {}),
                    ...(etag === undefined ? {} : { etag }),
                    bytesRead: () => stream.bytesRead,
                });
            } catch (failure) {
                done(failure, undefined as never);
            }
        });
    }, signal);
    return result;
}
