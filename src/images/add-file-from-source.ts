import type { StorageType } from '../base/constants.js';
import { imageFilesImmutable } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { isActivated } from '../manifest/state.js';
import type { RawImage } from '../manifest/types.js';
import type { SourceAddress } from '../remotes/image-source.js';
import { chooseStorage } from '../storage/choose-storage.js';
import type { StorageWriter } from '../storage/storage.js';
import { REQUEST_RETRIES } from '../transfers/retries.js';
import { transferFile, type TransferProgress } from '../transfers/source-transfer.js';
import { fileEntry, fileSlot } from './add-image-file.js';
import type { ImageServices, RequestContext } from './context.js';
import { dropFilesBehind } from './drop-files-behind.js';
import { failsAs } from './failures.js';
import { finishUpload } from './finish-upload.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';
import { ownImageSeen } from './load.js';
import { preferredStorage } from './receive-upload.js';
import { failsAsRemote } from './remote-failure.js';
import { type SourceFile, sourceFile, sourceFiles } from './source-files.js';
import { sourceManifest } from './source-manifest.js';
import { requireSource } from './source-parameter.js';
import { agrees } from './stored-bytes.js';
import { fileUpload } from './upload-kinds.js';

/** Longest time a source may say nothing, milliseconds (jobs-and-imports 3.3). */
const STALL_MS = 60_000;

/** Where the files of an image are to come from, and to go. */
export interface FromSourceInput {
    /** URL as given. */
    readonly source: string;
    /** For operators. */
    readonly storage?: string;
}

/** Where the files of one image come from, and where they go. */
interface Copying {
    readonly uuid: string;
    readonly owner: string;
    readonly address: SourceAddress;
    readonly preferred: StorageType | undefined;
}

/**
 * Whether a file is here already, as a request finds it that is made again after its answer was lost: its
 * bytes were compared when they came.
 */
async function isHere(
    services: ImageServices,
    raw: RawImage,
    file: SourceFile,
    preferred: StorageType | undefined,
): Promise<boolean> {
    const entry = raw.files?.[file.index];
    if (
        entry?.sha1 !== file.sha1 ||
        entry.size !== file.size ||
        entry.compression !== file.compression ||
        entry.dataset_guid !== file.datasetGuid ||
        (preferred !== undefined && preferred !== storageNameOf(entry))
    ) {
        return false;
    }
    const storage = requireStorage(services, storageNameOf(entry));
    const facts = await storage
        .stat(raw.uuid, fileName(file.index))
        .catch(failsAs('error reading image file'));
    return agrees(facts, entry);
}

/** A file as the source's manifest has it at this moment. */
async function fileNow(
    services: ImageServices,
    context: RequestContext,
    { uuid, address }: Copying,
    index: number,
): Promise<SourceFile> {
    return sourceFile(await sourceManifest(services, context, uuid, address), index);
}

/** Receives one file and puts it in its place. @throws 400, 422, 500, 503 */
async function copyFile(
    services: ImageServices,
    context: RequestContext,
    copying: Copying,
    wanted: SourceFile,
    progress: TransferProgress,
): Promise<StoredImage> {
    const { uuid, owner, address, preferred } = copying;
    const { requestId, signal } = context;
    const { index } = wanted;
    const kind = fileUpload(index);
    const storage = requireStorage(services, chooseStorage(services.config.current, owner, preferred));
    const source = services.sources.at(address);
    const opened = (): Promise<void> => Promise.resolve();
    const { file, received, writer } = await transferFile<SourceFile, StorageWriter>({
        file: wanted,
        readAgain: (aborted) => fileNow(services, { ...context, signal: aborted }, copying, index),
        open: (resume, aborted) =>
            source.openFile(uuid, index, {
                requestId,
                signal: aborted,
                ...(resume === undefined ? {} : { resume }),
            }),
        begin: async ({ size }) => ({
            writer: await storage.createWriter(uuid, kind.name, { size }).catch(failsAs(kind.receiveFailure)),
            opened,
        }),
        retries: REQUEST_RETRIES,
        stallMs: STALL_MS,
        progress,
        what: kind.receiveFailure,
        fails: failsAsRemote(`Unable to get stream for image file ${uuid}`),
        signal,
    });
    const upload = { storage: storage.type, writer, received };
    const entry = fileEntry(upload, file.compression, file.datasetGuid, services.clock.now());
    return finishUpload(services, context, uuid, { kind, upload, slot: fileSlot(entry, index) });
}

/** Copies the files one after the other, and lets others see how far it is. */
async function copyFiles(
    services: ImageServices,
    context: RequestContext,
    copying: Copying,
    files: readonly SourceFile[],
): Promise<StoredImage | undefined> {
    const total = files.reduce((sum, { size }) => sum + size, 0);
    const board = services.transfers.begin(copying.uuid, total, services.clock.now());
    let stored: StoredImage | undefined;
    try {
        let before = 0;
        for (const file of files) {
            const progress = {
                resumedAt: () => undefined,
                received: (bytes: number) => board.received(bytes),
                startedOver: () => {
                    board.startedOver();
                    board.received(before);
                },
            };
            stored = await copyFile(services, context, copying, file, progress);
            before += file.size;
        }
    } finally {
        board.end();
    }
    return stored;
}

/**
 * AddImageFile from another image server: receives all files of an image, in their order, as that server's
 * manifest describes them (jobs-and-imports 3.1, 3.3). A transfer that breaks off goes on where it was.
 * Files that are here already are not transferred again.
 *
 * @throws 400, 404, 422, 500, 503; see the table in jobs-and-imports 3.3
 */
export async function addFileFromSource(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    input: FromSourceInput,
): Promise<StoredImage> {
    const seen = await ownImageSeen(services, context, uuid);
    const { raw } = seen;
    if (isActivated(raw)) {
        throw imageFilesImmutable(uuid);
    }
    const address = requireSource(services, context, input.source);
    const preferred = preferredStorage(context, input.storage);
    const files = sourceFiles(await sourceManifest(services, context, uuid, address));
    const missing: SourceFile[] = [];
    for (const file of files) {
        if (!(await isHere(services, raw, file, preferred))) {
            missing.push(file);
        }
    }
    const copying = { uuid, owner: raw.owner, address, preferred };
    const stored = (await copyFiles(services, context, copying, missing)) ?? seen;
    return (stored.raw.files ?? []).length > files.length
        ? dropFilesBehind(services, context, uuid, files.length)
        : stored;
}
