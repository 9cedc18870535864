import { createHash } from 'node:crypto';
import { digestPool } from './digest-pool.js';
import { DIGEST_ENCODINGS, type DigestName } from './digests.js';
import { SlotPipeline } from './slot-pipeline.js';

/** Bytes that are hashed on this thread; it takes less than a millisecond. */
const INLINE_SIZE = 262_144;

/** Computes one digest of bytes on their way somewhere. */
export interface OneDigest {
    /** Takes bytes, which may be reused afterwards; what it returns is to be waited for before the next call. */
    push(chunk: Buffer): Promise<void> | undefined;
    /** The digest of all bytes, in the form records keep it. */
    end(): Promise<string>;
    /** Gives up: nothing that is pushed later is looked at. After `end` it does nothing. */
    cancel(): void;
}

function inline(name: DigestName): OneDigest {
    const hash = createHash(name);
    return {
        push: (chunk) => void hash.update(chunk),
        end: () => Promise.resolve(hash.digest(DIGEST_ENCODINGS[name])),
        cancel: () => undefined,
    };
}

function onThread(name: DigestName): OneDigest {
    const run = digestPool.startOne(name);
    const nowhere = { write: () => Promise.resolve(), close: () => Promise.resolve() };
    // What fails in a thread is told by the next call.
    const pipeline = new SlotPipeline(run, nowhere, () => undefined);
    let pushed: Promise<void> = Promise.resolve();
    let isOver = false;
    // Once: memory that is given back twice would be lent to two files at a time.
    const release = async (): Promise<void> => {
        if (isOver) {
            return;
        }
        isOver = true;
        await Promise.allSettled([pushed]);
        await pipeline.settled();
        run.release();
    };
    return {
        push: (chunk) => {
            if (isOver) {
                return undefined;
            }
            pushed = pipeline.push(chunk);
            return pushed;
        },
        end: async () => {
            try {
                return (await pipeline.end()).digests[name];
            } finally {
                await release();
            }
        },
        cancel: () => {
            if (!isOver) {
                run.cancel();
                void release();
            }
        },
    };
}

/** Starts a digest, on a thread of its own where it takes a while. @param size bytes to come */
export function startDigest(name: DigestName, size: number): OneDigest {
    return size > INLINE_SIZE ? onThread(name) : inline(name);
}
