import { join } from 'node:path';
import { imageUuidAlreadyExists } from '../../base/errors.js';
import { fileEntry, fileSlot } from '../../images/add-image-file.js';
import type { ImageServices, RequestContext } from '../../images/context.js';
import { dropFilesBehind } from '../../images/drop-files-behind.js';
import { failsAs } from '../../images/failures.js';
import { finishUpload } from '../../images/finish-upload.js';
import { handOver } from '../../images/hand-over.js';
import { requireStorage } from '../../images/image-files.js';
import { failsAsRemote } from '../../images/remote-failure.js';
import { sourceFile, sourceFiles, type SourceFile } from '../../images/source-files.js';
import { sourceManifest } from '../../images/source-manifest.js';
import { type UploadKind, fileUpload } from '../../images/upload-kinds.js';
import type { JsonObject, RawImage } from '../../manifest/types.js';
import type { SourceRequest } from '../../remotes/image-source.js';
import { chooseStorage } from '../../storage/choose-storage.js';
import type { ClosedWriter, Storage, StorageWriter } from '../../storage/storage.js';
import { PartFile } from '../../transfers/part-file.js';
import type { ReceivedFile } from '../../transfers/receive.js';
import type { RetryPolicy } from '../../transfers/retries.js';
import { retrying } from '../../transfers/retrying.js';
import { transferFile, type TransferOptions } from '../../transfers/source-transfer.js';
import { type PartFacts, type PartNotes, stagedDownload } from '../../transfers/staged-download.js';
import type { JobRun } from '../job-kind.js';
import { importParams, isOurs, type ImportParams } from './import-params.js';

/** Bytes that have come whole and wait under a temporary name. */
interface Arrived {
    readonly file: SourceFile;
    readonly received: ReceivedFile;
    readonly writer: ClosedWriter;
}

function partNotes(run: JobRun, name: string): PartNotes {
    return {
        read: () => run.memory[name] as PartFacts | undefined,
        write: (facts) => run.remember({ [name]: { ...facts } }),
    };
}

/** Has the files of the images of one job copied (jobs-and-imports 9.4, 9.7). */
export class FileTransfers {
    readonly #services: ImageServices;
    readonly #context: RequestContext;
    readonly #run: JobRun;
    readonly #params: ImportParams;

    constructor(services: ImageServices, context: RequestContext, run: JobRun) {
        this.#services = services;
        this.#context = context;
        this.#run = run;
        this.#params = importParams(run);
    }

    /**
     * Reads the manifest of an image at the source, however often it takes.
     *
     * @throws 422, 503
     */
    manifest(uuid: string): Promise<JsonObject> {
        const { signal } = this.#run;
        return retrying(this.#policy, signal, () => this.#askManifest(uuid, signal));
    }

    /**
     * Copies all files of an image whose record is there; those that have been copied before stay.
     *
     * @throws 400 `Download`, 404, 409 when the record is another job's by now, 422, 500, 503
     */
    async addAll(uuid: string): Promise<void> {
        const { progress } = this.#run;
        const files = sourceFiles(await this.manifest(uuid));
        progress.beginImage(
            uuid,
            files.reduce((sum, { size }) => sum + size, 0),
        );
        let done = 0;
        for (const file of files) {
            const { raw } = await this.#services.database.get(uuid);
            this.#requireOurs(raw);
            if (raw.files?.[file.index]?.sha1 === file.sha1) {
                done += file.size;
                progress.resumedAt(done);
            } else {
                done += await this.#add(raw, file, done);
            }
        }
        const { raw } = await this.#services.database.get(uuid);
        if ((raw.files ?? []).length > files.length) {
            await dropFilesBehind(this.#services, this.#context, uuid, files.length);
        }
        progress.endImage(done);
    }

    get #policy(): RetryPolicy {
        const { retries, backoffMinMs, backoffMaxMs } = this.#services.config.current.jobs;
        return { attempts: Math.max(1, retries), minMs: backoffMinMs, maxMs: backoffMaxMs };
    }

    get #timeouts(): Required<SourceRequest>['timeouts'] {
        const { connectTimeout, stallTimeout } = this.#services.config.current.jobs;
        return { connectMs: connectTimeout * 1000, stallMs: stallTimeout * 1000 };
    }

    /** Copies one file. @param before bytes of the files before it @returns its bytes */
    async #add(raw: RawImage, file: SourceFile, before: number): Promise<number> {
        const { config } = this.#services;
        const storage = requireStorage(this.#services, chooseStorage(config.current, raw.owner, undefined));
        const isStaged = storage.type === 'local' || config.current.jobs.stageForManta;
        const fetch = isStaged ? this.#stage.bind(this) : this.#stream.bind(this);
        return fetch(raw.uuid, file, before, storage);
    }

    /** By way of a part file that outlives this process. */
    async #stage(uuid: string, file: SourceFile, before: number, storage: Storage): Promise<number> {
        const kind = fileUpload(file.index);
        const name = `${uuid}.${kind.name}.part`;
        const part = new PartFile(join(await this.#run.staging(), name));
        const { file: found, received } = await transferFile({
            ...this.#transfer(uuid, file, before, kind),
            begin: stagedDownload(part, partNotes(this.#run, name), kind.receiveFailure),
        });
        const writer = await handOver(
            storage,
            uuid,
            kind,
            { path: part.path, ...received },
            this.#run.signal,
        );
        await this.#finish(storage, uuid, kind, { file: found, received, writer });
        await part.remove();
        return received.size;
    }

    /** Straight into the storage: what breaks off goes on as long as this process lives. */
    async #stream(uuid: string, file: SourceFile, before: number, storage: Storage): Promise<number> {
        const kind = fileUpload(file.index);
        const begin = async ({
            size,
        }: SourceFile): Promise<{ writer: StorageWriter; opened: () => Promise<void> }> => ({
            writer: await storage.createWriter(uuid, kind.name, { size }).catch(failsAs(kind.receiveFailure)),
            opened: () => Promise.resolve(),
        });
        const arrived = await transferFile({ ...this.#transfer(uuid, file, before, kind), begin });
        await this.#finish(storage, uuid, kind, arrived);
        return arrived.received.size;
    }

    /** How a file is fetched, but for where it goes. */
    #transfer(
        uuid: string,
        file: SourceFile,
        before: number,
        kind: UploadKind,
    ): Omit<TransferOptions<SourceFile>, 'begin'> {
        const { progress, signal } = this.#run;
        const { requestId } = this.#context;
        const timeouts = this.#timeouts;
        const source = this.#services.sources.at(this.#params.address);
        return {
            file,
            readAgain: (aborted) => this.#readAgain(uuid, file.index, aborted),
            open: (resume, aborted) => {
                const request = { requestId, timeouts, signal: aborted };
                return source.openFile(
                    uuid,
                    file.index,
                    resume === undefined ? request : { ...request, resume },
                );
            },
            retries: this.#policy,
            stallMs: timeouts.stallMs,
            progress: {
                resumedAt: (bytes) => progress.resumedAt(before + bytes),
                received: (bytes) => progress.received(bytes),
                startedOver: () => {
                    progress.startedOver();
                    progress.resumedAt(before);
                },
            },
            what: kind.receiveFailure,
            fails: failsAsRemote(`Unable to get stream for image file ${uuid}`),
            signal,
        };
    }

    #askManifest(uuid: string, signal: AbortSignal): Promise<JsonObject> {
        const context = { ...this.#context, signal };
        return sourceManifest(this.#services, context, uuid, this.#params.address, this.#timeouts);
    }

    async #readAgain(uuid: string, index: number, signal: AbortSignal): Promise<SourceFile> {
        return sourceFile(await this.#askManifest(uuid, signal), index);
    }

    async #finish(storage: Storage, uuid: string, kind: UploadKind, arrived: Arrived): Promise<void> {
        const { file, received, writer } = arrived;
        const upload = { storage: storage.type, writer, received };
        const { compression, datasetGuid, index } = file;
        const entry = fileEntry(upload, compression, datasetGuid, this.#services.clock.now());
        const slot = fileSlot(entry, index);
        const check = (raw: RawImage): void => {
            this.#requireOurs(raw);
            slot.check(raw);
        };
        await finishUpload(this.#services, this.#context, uuid, { kind, upload, slot: { ...slot, check } });
    }

    /** Transfers take hours, in which an image may be deleted and made again by others. @throws 409 */
    #requireOurs(raw: RawImage): void {
        if (!isOurs(this.#run, this.#params, raw)) {
            throw imageUuidAlreadyExists(raw.uuid);
        }
    }
}
