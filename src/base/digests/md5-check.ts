import { createHash } from 'node:crypto';
import { digestPool } from './digest-pool.js';
import { SlotPipeline } from './slot-pipeline.js';

/** Bytes that are hashed on this thread; it takes less than a millisecond. */
const INLINE_SIZE = 262_144;

/** Computes the MD5 of bytes on their way somewhere. */
export interface Md5Check {
    /** Takes bytes, which may be reused afterwards; what it returns is to be waited for before the next call. */
    push(chunk: Buffer): Promise<void> | undefined;
    /** The MD5 of all bytes, base64. */
    end(): Promise<string>;
    /** Gives up: nothing that is pushed later is looked at. After `end` it does nothing. */
    cancel(): void;
}

function inline(): Md5Check {
    const hash = createHash('md5');
    return {
        push: (chunk) => void hash.update(chunk),
        end: () => Promise.resolve(hash.digest('base64')),
        cancel: () => undefined,
    };
}

function onThread(): Md5Check {
    const run = digestPool.startMd5();
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
                return (await pipeline.end()).digests.md5;
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

/** Starts a check, on a thread of its own where it takes a while. @param size bytes to come */
export function startMd5Check(size: number): Md5Check {
    return size > INLINE_SIZE ? onThread() : inline();
}
