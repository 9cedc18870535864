import { newUuid } from '../../../base/uuid.js';
import type { ImageServices } from '../../../images/context.js';
import { requireStorage } from '../../../images/image-files.js';
import { sourceFile } from '../../../images/source-files.js';
import type { ExpectedFile } from '../../../maintenance/files/image-facts.js';
import type { SourceAddress } from '../../../remotes/image-source.js';
import type { StorageWriter } from '../../../storage/storage.js';
import { TRANSFER_RETRIES } from '../../../transfers/retries.js';
import { transferFile } from '../../../transfers/source-transfer.js';

/** Longest time a source may say nothing, milliseconds. */
const STALL_MS = 60_000;

function fails(error: unknown): never {
    throw error;
}

/** Place in `files` of a file; -1: it is the icon. */
function indexOf({ name }: ExpectedFile): number {
    return name === 'icon' ? -1 : Number(name.slice('file'.length));
}

/**
 * Gets the bytes of a file from another image server into the storage the manifest names, verified, still
 * under a temporary name (operations 2.4).
 *
 * @throws Error when the source has another file, or none; what the source or the storage fails with
 */
export async function fetchFile(
    services: ImageServices,
    uuid: string,
    expected: ExpectedFile,
    address: SourceAddress,
    signal: AbortSignal,
): Promise<StorageWriter> {
    const index = indexOf(expected);
    if (index < 0) {
        throw new Error('icons are not fetched: delete it, and add it again');
    }
    const storage = requireStorage(services, expected.stor);
    const source = services.sources.at(address);
    const requestId = newUuid();
    const request = { requestId, signal };
    const wanted = async (): Promise<ExpectedFile> => {
        const found = sourceFile(await source.manifest(uuid, request), index);
        if (found.sha1 !== expected.sha1) {
            throw new Error(`the source has another ${expected.name}, sha1 ${found.sha1}`);
        }
        // By its own size: the manifest here may be wrong in that.
        return { ...expected, size: found.size };
    };
    const { writer } = await transferFile<ExpectedFile, StorageWriter>({
        file: await wanted(),
        readAgain: wanted,
        open: (resume, aborted) =>
            source.openFile(uuid, index, {
                requestId,
                signal: aborted,
                ...(resume === undefined ? {} : { resume }),
            }),
        begin: async ({ size }) => ({
            writer: await storage.createWriter(uuid, expected.name, { size }),
            opened: () => Promise.resolve(),
        }),
        retries: TRANSFER_RETRIES,
        stallMs: STALL_MS,
        progress: {
            resumedAt: () => undefined,
            received: () => undefined,
            startedOver: () => undefined,
        },
        what: `error receiving ${expected.name}`,
        fails,
        signal,
    });
    return writer;
}
