import type { IncomingMessage } from 'node:http';
import type { ObjectRange, OpenedObject } from '../object-store.js';
import type { MantaConnection } from './manta-connection.js';
import { mantaGet } from './manta-get.js';
import { ObjectStream } from './object-stream.js';

/** Longest wait for the headers, tries included, milliseconds (README table D). */
const HEADERS_TIMEOUT_MS = 30_000;
/** Longest time without a byte while somebody wants one, milliseconds (README table D). */
const STALL_TIMEOUT_MS = 60_000;

/** The `Range` of a request; none for a whole object. */
function rangeHeader({ start, end }: ObjectRange): Readonly<Record<string, string>> {
    if (start === undefined && end === undefined) {
        return {};
    }
    return { range: `bytes=${start ?? 0}-${end ?? ''}` };
}

/** Size of the whole object, also where only a part of it comes. */
function totalSize({ headers }: IncomingMessage): number {
    const total = /\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? headers['content-length'];
    return Number(total);
}

/**
 * Opens an object. A whole one is checked by its MD5 at the end.
 *
 * @throws as {@link ObjectStore} says; status 416 where the range begins behind the end
 */
export async function openObject(
    connection: MantaConnection,
    path: string,
    range: ObjectRange,
    stallMs: number = STALL_TIMEOUT_MS,
): Promise<OpenedObject> {
    const { signal } = range;
    let end = (): void => undefined;
    const started = await connection.startRepeatable<{
        readonly stream: ObjectStream;
        readonly response: IncomingMessage;
    }>(
        (client, headers, done) => {
            mantaGet(client, path, {}, { ...headers, ...rangeHeader(range) }, (error, response) => {
                if (error !== null && error !== undefined) {
                    done(error, undefined as never);
                    return;
                }
                const { 'content-md5': md5, 'content-length': length } = response.headers;
                const isWhole = response.statusCode === 200;
                const stream = new ObjectStream({
                    response,
                    length: Number(length),
                    md5: isWhole && typeof md5 === 'string' ? md5 : undefined,
                    stallMs,
                    signal,
                    end: () => end(),
                });
                done(null, { stream, response });
            });
        },
        { signal, timeoutMs: HEADERS_TIMEOUT_MS },
    );
    end = started.end;
    const { stream, response } = started.result;
    if (stream.destroyed) {
        end();
    }
    const { 'content-md5': md5, etag } = response.headers;
    return {
        stream,
        size: totalSize(response),
        ...(typeof md5 === 'string' ? { md5 } : {}),
        ...(etag === undefined ? {} : { etag }),
        bytesRead: () => stream.bytesRead,
    };
}
