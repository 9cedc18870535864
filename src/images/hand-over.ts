import { ApiError } from '../base/errors.js';
import type { ClosedWriter, FinishedFile, Storage } from '../storage/storage.js';
import { PartFile } from '../transfers/part-file.js';
import { receiveFile } from '../transfers/receive.js';
import { failsAs } from './failures.js';
import type { UploadKind } from './upload-kinds.js';

/** A file that gives no bytes for this long lies on a disk that is broken, milliseconds. */
const DISK_TIMEOUT_MS = 60_000;

/** A file of this machine that is to become one of an image. */
export interface StagedFile extends FinishedFile {
    /** Hex. */
    readonly sha1: string;
}

/**
 * Gets a complete file of this machine into a storage, still under a temporary name. It must stay until that
 * has been committed.
 *
 * @throws 400 `Upload` when the signal is aborted, 500, 503 `StorageIsDown`
 */
export async function handOver(
    storage: Storage,
    uuid: string,
    kind: UploadKind,
    { path, size, sha1 }: StagedFile,
    signal: AbortSignal,
): Promise<ClosedWriter> {
    const what = kind.receiveFailure;
    const adopted = await storage.adopt(uuid, kind.name, { path, size }).catch(failsAs(what));
    if (adopted !== undefined) {
        return adopted;
    }
    const writer = await storage.createWriter(uuid, kind.name, { size }).catch(failsAs(what));
    const source = new PartFile(path).read(size);
    try {
        const tooBig = (): ApiError => new ApiError('InternalError', `${what}: too big`);
        const copied = await receiveFile({
            source,
            writer,
            maxSize: size,
            tooBig,
            what,
            signal,
            idleTimeoutMs: DISK_TIMEOUT_MS,
        });
        if (copied.sha1 !== sha1) {
            throw new ApiError('InternalError', `${what}: the part file has changed`);
        }
        return writer;
    } catch (error) {
        await writer.abort();
        throw error;
    } finally {
        source.destroy();
    }
}
