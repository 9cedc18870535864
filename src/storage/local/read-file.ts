import { open, type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { unlessMissing } from '../../base/unless-missing.js';
import type { OpenedFile, ReadOptions } from '../storage.js';

/** Bytes per read: large enough to keep JavaScript out of the way, small enough for hundreds of readers. */
const READ_SIZE = 262_144;

/** The bytes `start` to `end` of an open file; the stream owns the handle from here on. */
async function streamOf(
    handle: FileHandle,
    size: number,
    options: ReadOptions,
): Promise<Pick<OpenedFile, 'stream' | 'bytesRead'>> {
    const start = options.start ?? 0;
    const end = Math.min(options.end ?? size - 1, size - 1);
    if (start > end) {
        await handle.close();
        return { stream: Readable.from([], { objectMode: false }), bytesRead: () => 0 };
    }
    const stream = handle.createReadStream({ start, end, highWaterMark: READ_SIZE });
    return { stream, bytesRead: () => stream.bytesRead };
}

function destroyOnAbort(stream: Readable, signal: AbortSignal | undefined): void {
    if (signal === undefined) {
        return;
    }
    const onAbort = (): void => void stream.destroy();
    signal.addEventListener('abort', onAbort, { once: true });
    stream.once('close', () => {
        signal.removeEventListener('abort', onAbort);
    });
    if (signal.aborted) {
        stream.destroy();
    }
}

/** Opens a regular file and looks at its size before anything is promised to a client (backends W21). */
export async function openFile(path: string, options: ReadOptions): Promise<OpenedFile | undefined> {
    options.signal?.throwIfAborted();
    const handle = await unlessMissing(open(path, 'r'));
    if (handle === undefined) {
        return undefined;
    }
    try {
        const facts = await handle.stat();
        if (!facts.isFile()) {
            await handle.close();
            return undefined;
        }
        const opened = await streamOf(handle, facts.size, options);
        destroyOnAbort(opened.stream, options.signal);
        const { size, ino, mtimeMs } = facts;
        return { ...opened, size, path, identity: { ino, mtimeMs } };
    } catch (error) {
        await handle.close().catch(() => undefined);
        throw error;
    }
}
