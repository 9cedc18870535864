import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { startDigest } from '../../base/digests/one-digest.js';
import { ApiError, systemErrorCode, writeFailure } from '../../base/errors.js';
import { shortReason } from '../../base/short-reason.js';

/** Bytes of a read, and of what is unpacked at a time. */
const CHUNK_SIZE = 262_144;

/** Largest unpacked layer, bytes: gzip can make a thousand of one, and who pulls must not wait for ever. */
export const MAX_UNPACKED_SIZE = 214_748_364_800;
/** {@link MAX_UNPACKED_SIZE} as the message names it. */
const MAX_UNPACKED_SIZE_STR = '200 GiB';

function failure(error: unknown): unknown {
    const isBadData = /^Z_/.test((error as { readonly code?: unknown }).code?.toString() ?? '');
    if (isBadData) {
        return new ApiError('Download', `Download error: layer is no gzip file: ${shortReason(error)}`, {
            cause: error,
        });
    }
    return systemErrorCode(error) === undefined
        ? error
        : writeFailure(error, `error reading layer: ${shortReason(error)}`);
}

/**
 * The SHA-256 of what is in a gzip file, hex. It is unpacked and hashed in threads, a few pieces at a time.
 *
 * @param size bytes of the file
 * @throws ApiError when it cannot be read, is no gzip file, or unpacks to more than `limit` bytes; the reason of
 * the signal
 */
export async function unpackedDigest(
    path: string,
    size: number,
    signal: AbortSignal,
    limit = MAX_UNPACKED_SIZE,
): Promise<string> {
    const digest = startDigest('sha256', size);
    let unpacked = 0;
    try {
        await pipeline(
            createReadStream(path, { highWaterMark: CHUNK_SIZE }),
            createGunzip({ chunkSize: CHUNK_SIZE }),
            async (bytes: AsyncIterable<Buffer>) => {
                for await (const chunk of bytes) {
                    unpacked += chunk.length;
                    if (unpacked > limit) {
                        const message = `Unpacked layer exceeds the maximum allowed size, ${MAX_UNPACKED_SIZE_STR}`;
                        throw new ApiError('ImageFileTooBig', message);
                    }
                    await digest.push(chunk);
                }
            },
            { signal },
        );
        return await digest.end();
    } catch (error) {
        signal.throwIfAborted();
        throw failure(error);
    } finally {
        digest.cancel();
    }
}
