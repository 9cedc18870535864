import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { TookTooLong } from '../../base/within.js';
import type { ObjectRange, OpenedObject } from '../object-store.js';
import type { MantaConnection } from './manta-connection.js';
import { mantaFailure } from './manta-failure.js';

/** Longest wait for the headers, tries included, milliseconds (README table D). */
const HEADERS_TIMEOUT_MS = 30_000;
/** Longest time without a byte while somebody wants one, milliseconds (README table D). */
const STALL_TIMEOUT_MS = 60_000;
/** How often it is looked whether bytes come. */
const LOOKS_PER_STALL = 6;

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

/** Makes the stream fail when the connection breaks or no byte comes for too long, and frees both together. */
function guard(
    stream: Readable,
    response: IncomingMessage,
    end: (error?: Error) => void,
    options: { readonly signal: AbortSignal | undefined; readonly stallMs: number },
): () => number {
    const { signal, stallMs } = options;
    let bytes = 0;
    let silentLooks = 0;
    response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        silentLooks = 0;
    });
    const fail = (error: Error): void => {
        stream.destroy(mantaFailure(error));
    };
    const timer = setInterval(() => {
        // Bytes that nobody takes are waited for by nobody.
        silentLooks = stream.readableLength > 0 ? 0 : silentLooks + 1;
        if (silentLooks >= LOOKS_PER_STALL) {
            fail(new TookTooLong(stallMs));
        }
    }, stallMs / LOOKS_PER_STALL);
    timer.unref();
    response.once('error', fail);
    response.once('close', () => {
        clearInterval(timer);
        if (!response.complete) {
            fail(new Error('connection closed before the end of the object'));
        }
    });
    const onAbort = (): void => void stream.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort);
    stream.once('close', () => {
        clearInterval(timer);
        signal?.removeEventListener('abort', onAbort);
        if (!response.complete) {
            end();
        }
    });
    // Nobody may be reading yet when it fails.
    stream.on('error', () => undefined);
    return () => bytes;
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
    let readBytes = (): number => 0;
    // Known only after the stream, which may end at once.
    let end = (): void => undefined;
    const started = await connection.startRepeatable<{ stream: Readable; response: IncomingMessage }>(
        (client, headers, done) => {
            client.get(
                path,
                { no_resume: true, headers: { ...headers, ...rangeHeader(range) } },
                (error, stream, response) => {
                    if (error !== null && error !== undefined) {
                        done(error, undefined as never);
                    } else if (stream === null || response === undefined) {
                        done(new Error('no object in the answer'), undefined as never);
                    } else {
                        // At once: the client lets the bytes flow when this returns.
                        readBytes = guard(stream, response, () => end(), { signal, stallMs });
                        done(null, { stream, response });
                    }
                },
            );
        },
        { signal, timeoutMs: HEADERS_TIMEOUT_MS },
    );
    end = started.end;
    const { stream, response } = started.result;
    if (stream.destroyed) {
        end();
    }
    const size = totalSize(response);
    const { 'content-md5': md5, etag } = response.headers;
    return {
        stream,
        size,
        ...(typeof md5 === 'string' ? { md5 } : {}),
        ...(etag === undefined ? {} : { etag }),
        bytesRead: readBytes,
    };
}
