import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Storage, StoredFileFacts, StoredFileName } from '../storage/storage.js';

/** What a record says of bytes in a storage. */
export interface BytesEntry {
    readonly sha1: string;
    readonly size: number;
    /** Base64; absent in old records. */
    readonly contentMD5?: string;
    readonly stor?: string;
}

/** Whether a storage has told the MD5 that an entry has, too; `undefined`: one of them does not say. */
function sameMd5(
    facts: StoredFileFacts,
    { contentMD5 }: Pick<BytesEntry, 'contentMD5'>,
): boolean | undefined {
    const { md5 } = facts;
    return md5 === undefined || contentMD5 === undefined ? undefined : md5 === contentMD5;
}

/**
 * Whether what a storage tells of a file, without reading it, agrees with an entry.
 *
 * @param facts `undefined`: there is no such file
 */
export function agrees(
    facts: StoredFileFacts | undefined,
    entry: Pick<BytesEntry, 'size' | 'contentMD5'>,
): facts is StoredFileFacts {
    return facts?.size === entry.size && sameMd5(facts, entry) !== false;
}

/**
 * Whether a storage has exactly the bytes an entry describes. Where the storage does not tell their MD5
 * they are all read, if their number is right.
 */
export async function holdsBytes(
    storage: Storage,
    uuid: string,
    name: StoredFileName,
    entry: BytesEntry,
): Promise<boolean> {
    const facts = await storage.stat(uuid, name);
    if (!agrees(facts, entry)) {
        return false;
    }
    if (sameMd5(facts, entry) === true) {
        return true;
    }
    const opened = await storage.open(uuid, name);
    if (opened === undefined) {
        return false;
    }
    const hash = createHash('sha1');
    await pipeline(opened.stream, hash);
    return hash.digest('hex') === entry.sha1;
}
