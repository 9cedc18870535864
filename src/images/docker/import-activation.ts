import { ApiError, imageUuidAlreadyExists } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import { importIdOf, withImportId } from '../../manifest/import-id.js';
import type { ImageFile, RawImage } from '../../manifest/types.js';
import { chooseStorage } from '../../storage/choose-storage.js';
import type { ClosedWriter } from '../../storage/storage.js';
import type { StagedLayer } from '../../transfers/layers/layer.js';
import { activateImage } from '../activate-image.js';
import { fileSlot } from '../add-image-file.js';
import { clearWay } from '../clear-way.js';
import { deleteUnfinished } from '../delete-unfinished.js';
import { finishUpload } from '../finish-upload.js';
import { handOver } from '../hand-over.js';
import { requireStorage } from '../image-files.js';
import { storeNewImage } from '../store-new-image.js';
import type { Upload } from '../receive-upload.js';
import { FILE_UPLOAD } from '../upload-kinds.js';
import { whileUnavailable } from '../while-unavailable.js';

import type { FetchedLayer } from './import-layers.js';
import type { PullRun } from './import-run.js';

/** How often a layer is begun anew because somebody else has come in between. */
const MAX_TRIES = 3;

/** How long taking back a record may take, milliseconds. */
const ROLL_BACK_LIMIT_MS = 30_000;

/** What is said of a record that somebody else has made, activated or removed meanwhile. */
const OVERTAKEN: ReadonlySet<string> = new Set([
    'ImageUuidAlreadyExists',
    'ImageAlreadyActivated',
    'ResourceNotFound',
]);

/** The record's entry for the file of a layer, keys in the order they are stored (manifest 8.2). */
function layerEntry(layer: StagedLayer, stor: string, now: number): ImageFile {
    const { sha1, digest, size, contentMD5, compression, uncompressedDigest } = layer;
    return {
        sha1,
        digest,
        size,
        contentMD5,
        mtime: new Date(now).toISOString(),
        stor,
        compression,
        uncompressedDigest,
        sha256: sha256Of(layer),
    };
}

/** Hex. */
function sha256Of({ digest }: StagedLayer): string {
    return digest.slice(digest.indexOf(':') + 1);
}

/** Makes the image of one layer whose file is here. */
class LayerImage {
    readonly #run: PullRun;
    readonly #fetched: FetchedLayer;

    constructor(run: PullRun, fetched: FetchedLayer) {
        this.#run = run;
        this.#fetched = fetched;
    }

    /** @returns what is here then; somebody else may have made it @throws ApiError, the reason of the signal */
    async bring(): Promise<StoredImage> {
        const { services, context } = this.#run;
        const { uuid } = this.#fetched.layer;
        for (let tries = 1; ; tries += 1) {
            const present = await clearWay(services, context, uuid);
            if (present !== undefined) {
                return present;
            }
            try {
                return await this.#make();
            } catch (error) {
                const isOvertaken = error instanceof ApiError && OVERTAKEN.has(error.code);
                if (!isOvertaken || tries >= MAX_TRIES) {
                    throw error;
                }
                context.log.info({ err: error, uuid }, 'somebody else is making the image of a layer');
            }
        }
    }

    /**
     * The bytes come first, which may take minutes: there is a record without activation only for the moment
     * that the rest takes.
     */
    async #make(): Promise<StoredImage> {
        const upload = await this.#upload();
        try {
            return await this.#activate(upload);
        } catch (error) {
            await upload.writer.abort();
            await this.#rollBack();
            throw error;
        }
    }

    async #upload(): Promise<Upload> {
        const { services, context } = this.#run;
        const { raw, held } = this.#fetched;
        const { layer } = held;
        const storage = requireStorage(
            services,
            chooseStorage(services.config.current, raw.owner, undefined),
        );
        const writer: ClosedWriter = await handOver(storage, raw.uuid, FILE_UPLOAD, layer, context.signal);
        const received = {
            size: layer.size,
            sha1: layer.sha1,
            md5: layer.contentMD5,
            sha256: sha256Of(layer),
        };
        return { storage: storage.type, writer, received };
    }

    async #activate(upload: Upload): Promise<StoredImage> {
        const { services, context, lines } = this.#run;
        const { raw, held, layer } = this.#fetched;
        const { uuid } = raw;
        context.signal.throwIfAborted();
        await storeNewImage(services, context, raw);
        const slot = fileSlot(layerEntry(held.layer, upload.storage, services.clock.now()));
        const check = (current: RawImage): void => {
            this.#requireOurs(current);
            slot.check(current);
        };
        context.signal.throwIfAborted();
        await finishUpload(services, context, uuid, {
            kind: FILE_UPLOAD,
            upload,
            slot: { ...slot, check },
        });
        context.signal.throwIfAborted();
        lines.progress(layer, { status: 'Activating image' });
        const active = await activateImage(services, context, uuid, (current) => this.#requireOurs(current));
        lines.progress(layer, { status: 'Pull complete' });
        return active;
    }

    /** @throws 409 when somebody else has made the record anew, or activated it */
    #requireOurs(raw: RawImage): void {
        if (importIdOf(raw) !== this.#run.importId) {
            throw imageUuidAlreadyExists(raw.uuid);
        }
    }

    /** Takes the record back, unless it is not ours or has been activated; also for a client that has gone. */
    async #rollBack(): Promise<void> {
        const { services, context, importId } = this.#run;
        const { uuid } = this.#fetched.raw;
        const limited = { ...context, signal: AbortSignal.timeout(ROLL_BACK_LIMIT_MS) };
        const judged = { state: 'unactivated', x_imgapi: withImportId(undefined, importId) } as const;
        try {
            await whileUnavailable(limited.signal, () => deleteUnfinished(services, limited, uuid, judged));
        } catch (err) {
            if (!(err instanceof ApiError && err.code === 'ImageUuidAlreadyExists')) {
                context.log.warn({ err, uuid }, 'the record of a layer that was not activated stays');
            }
        }
    }
}

/**
 * Makes the image of a layer, in its turn among the pulls of this process (jobs-and-imports 5.3). Its origin is
 * here.
 *
 * @throws ApiError; the reason of the signal
 */
export async function activateLayer(run: PullRun, fetched: FetchedLayer): Promise<StoredImage> {
    const { services, context } = run;
    const image = new LayerImage(run, fetched);
    const active = await services.importQueue.runUnlessAborted(fetched.layer.uuid, context.signal, () =>
        image.bring(),
    );
    await fetched.held.discard();
    return active;
}
