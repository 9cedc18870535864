import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { startDigest } from '../../../base/digests/one-digest.js';
import type { ObjectStore, PutOptions } from '../../../remotes/object-store.js';
import { ChangedError, type FileBytes } from './backup-files.js';

/** Up to this size a file is stored by a single call, bytes. */
const SMALL_SIZE = 1_048_576;

async function storeSmall(
    objects: ObjectStore,
    path: string,
    { size, chunks }: FileBytes,
    options: PutOptions,
): Promise<void> {
    const bytes = await buffer(chunks);
    if (bytes.length !== size) {
        throw new ChangedError();
    }
    const md5 = createHash('md5').update(bytes).digest('base64');
    await objects.put(path, bytes, { ...options, md5 });
}

async function storeLarge(
    objects: ObjectStore,
    path: string,
    { size, chunks }: FileBytes,
    options: PutOptions,
): Promise<void> {
    const upload = await objects.upload(path, options);
    const digest = startDigest('md5', size);
    let sent = 0;
    try {
        for await (const chunk of chunks) {
            options.signal?.throwIfAborted();
            sent += chunk.length;
            if (sent > size) {
                break;
            }
            await Promise.all([upload.write(chunk), digest.push(chunk)]);
        }
        if (sent !== size) {
            throw new ChangedError();
        }
        const stored = await upload.end();
        if (stored.md5 !== undefined && stored.md5 !== (await digest.end())) {
            await objects.remove(path);
            throw new Error('Manta has stored other bytes');
        }
    } catch (error) {
        digest.cancel();
        await upload.abort();
        throw error;
    }
}

/**
 * Stores a file in Manta, with its MD5 compared. Its directory must exist.
 *
 * @param condition with `ifNew`, only where there is nothing
 * @throws ChangedError when other bytes came than were announced; as {@link ObjectStore} says
 */
export async function storeInManta(
    objects: ObjectStore,
    path: string,
    file: FileBytes,
    condition: Pick<PutOptions, 'ifNew' | 'signal'>,
): Promise<void> {
    const options = { ...condition, contentType: 'application/octet-stream', size: file.size };
    await (file.size > SMALL_SIZE ? storeLarge : storeSmall)(objects, path, file, options);
}
