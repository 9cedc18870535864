import { createReadStream } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { startDigest } from '../../base/digests/one-digest.js';
import { ApiError, systemErrorCode, writeFailure } from '../../base/errors.js';
import { shortReason } from '../../base/short-reason.js';

/** Bytes of a read, and of what is unpacked at a time. */
const CHUNK_SIZE = 262_144;

/** Largest unpacked layer, bytes: gzip can make a thousand of one, and who pulls must not wait for ever. */
const MAX_UNPACKED_SIZE = 214_748_364_800;
/** {@link MAX_UNPACKED_SIZE} as the message names it. */
const MAX_UNPACKED_SIZE_STR = '200 GiB';

function failure(error: unknown): unknown {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code.startsWith('Z_')) {
        // The numbers of such errors are not the system's, though they look like them.
        return new ApiError('Download', `Download error: layer is no gzip file: ${message}`, {
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
    const packed = createReadStream(path, { highWaterMark: CHUNK_SIZE });
    const unpacked = addAbortSignal(signal, createGunzip({ chunkSize: CHUNK_SIZE }));
    packed.on('error', (error) => unpacked.destroy(error)).pipe(unpacked);
    let count = 0;
    try {
        for await (const chunk of unpacked as AsyncIterable<Buffer>) {
            count += chunk.length;
            if (count > limit) {
                const message = `Unpacked layer exceeds the maximum allowed size, ${MAX_UNPACKED_SIZE_STR}`;
                throw new ApiError('ImageFileTooBig', message);
            }
            await digest.push(chunk);
        }
        return await digest.end();
    } catch (error) {
        signal.throwIfAborted();
        throw failure(error);
    } finally {
        packed.destroy();
        digest.cancel();
    }
}
