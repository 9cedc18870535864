import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Storage, StoredFileName } from '../storage/storage.js';

/** What a record says of bytes in a storage. */
export interface BytesEntry {
    readonly sha1: string;
    readonly size: number;
    readonly stor?: string;
}

/** Whether a storage has exactly the bytes an entry describes; reads them all when the size is right. */
export async function holdsBytes(
    storage: Storage,
    uuid: string,
    name: StoredFileName,
    entry: BytesEntry,
): Promise<boolean> {
    const facts = await storage.stat(uuid, name);
    if (facts?.size !== entry.size) {
        return false;
    }
    const opened = await storage.open(uuid, name);
    if (opened === undefined) {
        return false;
    }
    const hash = createHash('sha1');
    await pipeline(opened.stream, hash);
    return hash.digest('hex') === entry.sha1;
}
