import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { startDigest } from '../../../base/digests/one-digest.js';
import type { ObjectFacts, ObjectStore, PutOptions } from '../../../remotes/object-store.js';
import { ChangedError, type FileBytes } from './backup-files.js';

/** Up to this size a file is stored by a single call, bytes. */
const SMALL_SIZE = 1_048_576;

async function storeSmall(
    objects: ObjectStore,
    path: string,
    { size, chunks }: FileBytes,
    options: PutOptions,
): Promise<Partial<ObjectFacts>> {
    const bytes = await buffer(chunks);
    if (bytes.length !== size) {
        throw new ChangedError();
    }
    const md5 = createHash('md5').update(bytes).digest('base64');
    return objects.put(path, bytes, { ...options, md5 });
}

async function storeLarge(
    objects: ObjectStore,
    path: string,
    { size, chunks }: FileBytes,
    options: PutOptions,
): Promise<Partial<ObjectFacts>> {
    const upload = await objects.upload(path, options);
    const digest = startDigest('md5', size);
    const send = (chunk: Buffer): Promise<unknown> => Promise.all([upload.write(chunk), digest.push(chunk)]);
    let last: Buffer | undefined;
    let read = 0;
    try {
        for await (const chunk of chunks) {
            options.signal?.throwIfAborted();
            read += chunk.length;
            if (read > size) {
                throw new ChangedError();
            }
            // Manta knows the size: once it has the last byte it has the object, whatever is found out later.
            if (last !== undefined) {
                await send(last);
            }
            last = chunk;
        }
        if (read !== size || last === undefined) {
            throw new ChangedError();
        }
        await send(last);
        const stored = await upload.end();
        if (stored.md5 !== undefined && stored.md5 !== (await digest.end())) {
            await objects.remove(path);
            throw new Error('Manta has stored other bytes');
        }
        return stored;
    } catch (error) {
        digest.cancel();
        await upload.abort();
        throw error;
    }
}

/**
 * Stores a file in Manta, with its MD5 compared. Its directory must exist. When its chunks fail, even at
 * their very end, nothing is stored.
 *
 * @param condition with `ifNew`, only where there is nothing
 * @returns what Manta says it has stored
 * @throws ChangedError when other bytes came than were announced; as {@link ObjectStore} says
 */
export async function storeInManta(
    objects: ObjectStore,
    path: string,
    file: FileBytes,
    condition: Pick<PutOptions, 'ifNew' | 'signal'>,
): Promise<Partial<ObjectFacts>> {
    const options = { ...condition, contentType: 'application/octet-stream', size: file.size };
    return (file.size > SMALL_SIZE ? storeLarge : storeSmall)(objects, path, file, options);
}
