import { Readable } from 'node:stream';
import { ApiError, internalError, writeFailure } from '../base/errors.js';
import { shortReason } from '../base/short-reason.js';
import type { ClosedFile, StorageWriter } from '../storage/storage.js';
import { digestPool } from '../base/digests/digest-pool.js';
import { digestsOf, type Digests } from '../base/digests/digests.js';
import { type EndedSlots, SlotPipeline } from '../base/digests/slot-pipeline.js';
import type { ByteSource } from './byte-source.js';
import { SourceReader } from './source-reader.js';

/** What is known of a file once all of it has been received. */
export interface ReceivedFile extends Digests {
    /** Bytes. */
    readonly size: number;
}

/** Where received bytes go: to a storage, or to a file for the time being. */
export type ReceivingWriter = Pick<StorageWriter, 'write' | 'close' | 'abort'>;

/** What {@link receiveFile} needs. */
export interface ReceiveOptions {
    /**
     * Where the bytes come from. A stream is not destroyed, not even after a failure: its owner ends it. Any
     * other source is stopped then.
     */
    readonly source: Readable | ByteSource;
    readonly writer: ReceivingWriter;
    /** Bytes. */
    readonly maxSize: number;
    readonly tooBig: () => ApiError;
    /** Start of messages, e.g. `error receiving image file`. */
    readonly what: string;
    /** Aborted when the client has gone or the server stops. */
    readonly signal: AbortSignal;
    /** Longest time without a byte of a stream, milliseconds. Other sources see to that themselves. */
    readonly idleTimeoutMs: number;
}

/** A file that is on stable storage under its temporary name. */
type ReceivedSlots = EndedSlots<Digests, ClosedFile>;

/** Files up to this many bytes are hashed at once, without a thread; it takes a millisecond. */
const INLINE_SIZE = 262_144;

/** An error that comes from the side that sends, not from the storage. */
class SourceFailure extends Error {}

/** Chunks of a source, at most `maxSize` bytes of them. */
class BoundedSource {
    readonly #reader: Pick<ByteSource, 'next'>;
    readonly #options: ReceiveOptions;
    /** Bytes given out so far. */
    size = 0;

    constructor(reader: Pick<ByteSource, 'next'>, options: ReceiveOptions) {
        this.#reader = reader;
        this.#options = options;
    }

    async next(): Promise<Buffer | undefined> {
        const chunk = await this.#reader.next().catch((error: unknown) => {
            throw error instanceof ApiError ? error : new SourceFailure(shortReason(error), { cause: error });
        });
        this.size += chunk?.length ?? 0;
        if (this.size > this.#options.maxSize) {
            throw this.#options.tooBig();
        }
        return chunk;
    }
}

/** Hashes and writes `head` and what follows, by threads and in large pieces. */
async function receiveLarge(
    head: readonly Buffer[],
    source: BoundedSource,
    writer: ReceivingWriter,
    stop: AbortController,
): Promise<ReceivedSlots> {
    const run = digestPool.start();
    const pipeline = new SlotPipeline(run, writer, (error) => {
        stop.abort(error);
    });
    try {
        for (const chunk of head) {
            await pipeline.push(chunk);
        }
        for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) {
            await pipeline.push(chunk);
        }
        return await pipeline.end();
    } catch (error) {
        // First of all, so that what fails because of the abort does not hide the reason.
        stop.abort(error);
        run.cancel();
        throw error;
    } finally {
        await pipeline.settled();
        run.release();
    }
}

async function receive(
    source: BoundedSource,
    writer: ReceivingWriter,
    stop: AbortController,
): Promise<ReceivedSlots> {
    const head: Buffer[] = [];
    for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) {
        head.push(chunk);
        if (source.size > INLINE_SIZE) {
            return await receiveLarge(head, source, writer, stop);
        }
    }
    const bytes = Buffer.concat(head);
    await writer.write(bytes);
    const closed = await writer.close();
    return { digests: digestsOf(bytes), closed };
}

/** Refuses bytes that reached the storage changed (backends 8). */
function requireStored({ digests, closed }: ReceivedSlots, what: string): Digests {
    if (closed.md5 !== undefined && closed.md5 !== digests.md5) {
        throw internalError(`${what}: stored Content-MD5 is "${closed.md5}", expected "${digests.md5}"`);
    }
    return digests;
}

/** What a failure is answered with (http-api 3.8 #8, backends W7). */
function failureOf(error: unknown, what: string): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    if (error instanceof SourceFailure) {
        return new ApiError('Upload', `${what}: ${error.message}`, { cause: error.cause });
    }
    return writeFailure(error, `${what}: ${shortReason(error)}`);
}

/** Reads the source until `stop` is aborted. */
function readerOf(
    { source, idleTimeoutMs }: ReceiveOptions,
    stop: AbortSignal,
): { readonly reader: Pick<ByteSource, 'next'>; readonly close: () => void } {
    if (source instanceof Readable) {
        const reader = new SourceReader(source, idleTimeoutMs, stop);
        return { reader, close: () => reader.close() };
    }
    const onStop = (): void => source.stop(stop.reason);
    stop.addEventListener('abort', onStop);
    if (stop.aborted) {
        onStop();
    }
    return { reader: source, close: () => stop.removeEventListener('abort', onStop) };
}

/**
 * Receives a file: takes the bytes of `source` no faster than they can be written, computes their
 * digests off this thread, and closes `writer`, so that the bytes are on stable storage under their
 * temporary name. Whether they are the right ones, the caller decides: `commit` or `abort`.
 *
 * @throws after the writer has been aborted: the error of `tooBig`; 503 `StorageIsDown`; 500
 * `<what>: <reason>`; 400 `Upload` when the source broke off, was idle too long, or `signal` was
 * aborted (unless its reason is an {@link ApiError})
 */
export async function receiveFile(options: ReceiveOptions): Promise<ReceivedFile> {
    const { writer, signal } = options;
    const stop = new AbortController();
    // At once: whoever waits for a write that hangs is to learn of the abort.
    stop.signal.addEventListener('abort', () => {
        writer.abort().catch(() => undefined);
    });
    const onAbort = (): void => {
        const { reason } = signal as { readonly reason: unknown };
        stop.abort(reason instanceof ApiError ? reason : new SourceFailure('aborted', { cause: reason }));
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) {
        onAbort();
    }
    const { reader, close } = readerOf(options, stop.signal);
    const source = new BoundedSource(reader, options);
    try {
        const digests = requireStored(await receive(source, writer, stop), options.what);
        stop.signal.throwIfAborted();
        return { size: source.size, ...digests };
    } catch (error) {
        stop.abort(error);
        await writer.abort();
        throw failureOf(stop.signal.reason, options.what);
    } finally {
        close();
        signal.removeEventListener('abort', onAbort);
    }
}
