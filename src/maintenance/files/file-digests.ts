import type { Readable } from 'node:stream';
import { readThrough } from '../read-through.js';
import type { FileDigests } from './finding.js';

/** Reads a stream of a file to its end. @throws what the stream fails with, the reason of the signal */
export async function digestsOfStream(
    stream: Readable,
    size: number,
    signal: AbortSignal,
): Promise<FileDigests> {
    const opened = { stream, size, bytesRead: () => 0 };
    // Which digests are computed follows from what there is to compare them with.
    const wanted = { size, sha1: '', contentMD5: '' };
    const { digests, size: read } = await readThrough(opened, wanted, {
        level: 'read',
        signal,
        testArchive: false,
    });
    const { sha1 = '', md5 = '' } = digests;
    return { size: read, sha1, md5 };
}
