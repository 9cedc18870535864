import type { Readable } from 'node:stream';
import { MAX_IMAGE_SIZE } from '../base/constants.js';
import { ApiError, internalError } from '../base/errors.js';
import type { Storage, StorageWriter, StoredFileFacts } from '../storage/storage.js';
import { type ReceivedFile, receiveFile } from '../transfers/receive.js';
import type { RequestContext } from './context.js';
import { failsAs } from './failures.js';
import type { NamedEntry } from './image-files.js';

/** Start of what is answered when bytes cannot be moved (http-api 3.18 #7). */
export const MOVE_FAILURE = 'error moving image file';

/** A storage that gives no bytes for this long is given up, milliseconds (README, timeouts while copying). */
const STALL_TIMEOUT_MS = 60_000;

/** What a copy that breaks off fails with; unavailable storages keep their own answer. */
const OUR_FAILURES: ReadonlySet<string> = new Set(['Upload', 'InternalError']);

/** Bytes in their new storage, verified, still under a temporary name. */
export interface StorageCopy extends NamedEntry {
    readonly writer: StorageWriter;
    /** What the storage must tell of them: their number, and their MD5 if it tells that. */
    readonly facts: Required<Pick<StoredFileFacts, 'size' | 'md5'>>;
}

/**
 * Makes sure that bytes are the expected ones, as far as both sides tell.
 *
 * @param what which bytes, for the message
 * @throws 500
 */
export function requireSame(
    what: string,
    found: { readonly size: number; readonly md5?: string; readonly sha1?: string },
    expected: { readonly size: number; readonly md5?: string | undefined; readonly sha1?: string },
): void {
    const checks = [
        ['size', found.size, expected.size],
        ['Content-MD5', found.md5, expected.md5],
        ['sha1', found.sha1, expected.sha1],
    ] as const;
    for (const [name, is, shouldBe] of checks) {
        if (is !== undefined && shouldBe !== undefined && is !== shouldBe) {
            throw internalError(`${MOVE_FAILURE}: ${what} ${name} is ${is}, expected ${shouldBe}`);
        }
    }
}

/** Receives the bytes from the other storage; a source that breaks off is our failure, not the caller's. */
async function receiveCopy(
    context: RequestContext,
    source: Readable,
    writer: StorageWriter,
): Promise<ReceivedFile> {
    try {
        return await receiveFile({
            source,
            writer,
            maxSize: MAX_IMAGE_SIZE,
            tooBig: () => internalError(`${MOVE_FAILURE}: file is too big`),
            what: MOVE_FAILURE,
            signal: context.signal,
            idleTimeoutMs: STALL_TIMEOUT_MS,
        });
    } catch (error) {
        if (!(error instanceof ApiError) || !OUR_FAILURES.has(error.code)) {
            throw error;
        }
        const { message } = error;
        // The source itself does not know what it was read for.
        throw internalError(
            message.startsWith(MOVE_FAILURE) ? message : `${MOVE_FAILURE}: ${message}`,
            error,
        );
    }
}

/**
 * Copies a file from one storage to another and verifies the copy: size, MD5 and SHA-1 are those of the
 * record. A storage that tells other facts than the record is not read at all. Nothing is left behind
 * when it fails.
 *
 * @throws 500, 503
 */
export async function copyToStorage(
    context: RequestContext,
    uuid: string,
    { name, entry }: NamedEntry,
    source: Storage,
    target: Storage,
): Promise<StorageCopy> {
    const { size, contentMD5: md5, sha1 } = entry;
    const opened = await source.open(uuid, name, { signal: context.signal }).catch(failsAs(MOVE_FAILURE));
    if (opened === undefined) {
        throw internalError(`${MOVE_FAILURE}: file is missing from storage`);
    }
    try {
        requireSame('stored', opened, { size, md5 });
        const writer = await target.createWriter(uuid, name, { size }).catch(failsAs(MOVE_FAILURE));
        try {
            const received = await receiveCopy(context, opened.stream, writer);
            requireSame('copied', received, { size, md5, sha1 });
            return { name, entry, writer, facts: { size, md5: received.md5 } };
        } catch (error) {
            await writer.abort();
            throw error;
        }
    } finally {
        opened.stream.destroy();
    }
}
