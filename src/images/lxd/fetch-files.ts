import { ApiError } from '../../base/errors.js';
import type { LxdFile } from '../../manifest/lxd/lxd-image.js';
import type { ImageFile, RawImage } from '../../manifest/types.js';
import { chooseStorage } from '../../storage/choose-storage.js';
import type { StorageWriter } from '../../storage/storage.js';
import { downloadFailure, isStall, isTruncation, wrongLength } from '../../transfers/download-errors.js';
import { transferFile } from '../../transfers/source-transfer.js';
import { fileEntry } from '../add-image-file.js';
import { failsAs } from '../failures.js';
import type { ArrivedFile } from '../finish-import.js';
import { requireStorage } from '../image-files.js';
import { hostRefusal } from '../refused-host.js';
import type { Upload } from '../receive-upload.js';
import { fileUpload } from '../upload-kinds.js';
import type { LxdImport } from './import-run.js';
import { LxdMeter } from './lxd-lines.js';

/** The record's entry for a file, keys in the order they are stored (manifest 8.2). */
function lxdEntry(upload: Upload, { compression }: LxdFile, now: number): ImageFile {
    const { contentMD5, sha1, sha256, size, mtime, stor } = fileEntry(upload, compression, undefined, now);
    return {
        ...(contentMD5 === undefined ? {} : { contentMD5 }),
        sha1,
        ...(sha256 === undefined ? {} : { sha256 }),
        size,
        ...(mtime === undefined ? {} : { mtime }),
        ...(stor === undefined ? {} : { stor }),
        compression,
    };
}

/** A rejection handler for a file that cannot be had. @throws ApiError */
function failsAsDownload(run: LxdImport, file: LxdFile, meter: LxdMeter): (error: unknown) => never {
    return (error) => {
        if (error instanceof ApiError) {
            throw error;
        }
        if (isStall(error)) {
            run.lines.timedOut();
            throw new ApiError('Download', 'Image connection timed out', { cause: error });
        }
        const isShort = meter.current > 0 && isTruncation(error);
        throw (
            hostRefusal(error, 'alias') ??
            (isShort ? wrongLength(file.size, meter.current, error) : downloadFailure(error))
        );
    };
}

/** Fetches one file into storage, under a temporary name (jobs-and-imports 6, 9.7). */
async function fetchFile(
    run: LxdImport,
    { uuid, owner }: RawImage,
    file: LxdFile,
    index: number,
): Promise<ArrivedFile> {
    const { services, context, server, rules, lines } = run;
    const kind = fileUpload(index);
    const storage = requireStorage(services, chooseStorage(services.config.current, owner, undefined));
    lines.status('Downloading image');
    const meter = new LxdMeter(lines, file.size, services.clock.now());
    const { received, writer } = await transferFile<LxdFile, StorageWriter>({
        file,
        // Its server tells it by its digest: it cannot change.
        readAgain: () => Promise.resolve(file),
        open: (resume, aborted) => server.openFile(file.path, resume, aborted),
        begin: async ({ size }) => ({
            writer: await storage.createWriter(uuid, kind.name, { size }).catch(failsAs(kind.receiveFailure)),
            opened: () => Promise.resolve(),
        }),
        retries: rules.retries,
        stallMs: rules.stallMs,
        progress: {
            resumedAt: (bytes) => meter.at(bytes),
            received: (bytes) => meter.at(meter.current + bytes),
            startedOver: () => meter.at(0),
        },
        onBreak: (error) => {
            if (isStall(error)) {
                lines.timedOut();
            }
        },
        what: kind.receiveFailure,
        fails: failsAsDownload(run, file, meter),
        signal: context.signal,
    });
    const upload = { storage: storage.type, writer, received };
    return { upload, entry: lxdEntry(upload, file, services.clock.now()) };
}

/**
 * Fetches the files of an image, one after the other. Nothing is left behind when it fails.
 *
 * @throws 400 `Download`, 422, 500, 503; the reason of the signal
 */
export async function fetchFiles(
    run: LxdImport,
    raw: RawImage,
    files: readonly LxdFile[],
): Promise<readonly ArrivedFile[]> {
    const arrived: ArrivedFile[] = [];
    try {
        for (const [index, file] of files.entries()) {
            arrived.push(await fetchFile(run, raw, file, index));
        }
    } catch (error) {
        await Promise.all(arrived.map(({ upload }) => upload.writer.abort()));
        throw error;
    }
    run.lines.status('Download complete');
    return arrived;
}
