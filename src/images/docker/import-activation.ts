import { stat } from 'node:fs/promises';
import { ApiError, systemErrorCode } from '../../base/errors.js';
import { unlessMissing } from '../../base/unless-missing.js';
import type { StoredImage } from '../../database/database.js';
import type { ImageFile } from '../../manifest/types.js';
import { chooseStorage } from '../../storage/choose-storage.js';
import type { ReceivedFile } from '../../transfers/receive.js';
import { fileEntry } from '../add-image-file.js';
import { clearWay } from '../clear-way.js';
import { type ArrivedFile, finishImport } from '../finish-import.js';
import { handOver } from '../hand-over.js';
import { requireStorage } from '../image-files.js';
import type { Upload } from '../receive-upload.js';
import { FILE_UPLOAD } from '../upload-kinds.js';
import { type FetchedLayer, fetchLayer } from './import-layers.js';
import type { PullRun } from './import-run.js';

/** How often a layer is begun anew because somebody else has come in between. */
const MAX_TRIES = 3;

/** What is said of a record that somebody else has made, activated or removed meanwhile. */
const OVERTAKEN: ReadonlySet<string> = new Set([
    'ImageUuidAlreadyExists',
    'ImageAlreadyActivated',
    'ResourceNotFound',
]);

/** The record's entry for the file of a layer, keys in the order they are stored (manifest 8.2). */
function layerEntry(upload: Upload, { held }: FetchedLayer, now: number): ImageFile {
    const { digest, compression, uncompressedDigest } = held.layer;
    const { sha1, sha256, ...entry } = fileEntry(upload, compression, undefined, now);
    return { sha1, digest, ...entry, uncompressedDigest, ...(sha256 === undefined ? {} : { sha256 }) };
}

/** Gets the file of a layer into storage, under a temporary name. @throws 400 `Upload`, 500, 503 */
async function storeLayer({ services, context }: PullRun, fetched: FetchedLayer): Promise<ArrivedFile> {
    const { raw, held } = fetched;
    const { digest, size, sha1, contentMD5: md5 } = held.layer;
    const storage = requireStorage(services, chooseStorage(services.config.current, raw.owner, undefined));
    const writer = await handOver(storage, raw.uuid, FILE_UPLOAD, held.layer, context.signal);
    const received: ReceivedFile = { size, sha1, md5, sha256: digest.slice('sha256:'.length) };
    const upload = { storage: storage.type, writer, received };
    return { upload, entry: layerEntry(upload, fetched, services.clock.now()) };
}

/** The bytes come first, which may take minutes: there is no record without activation meanwhile. */
async function makeImage(run: PullRun, fetched: FetchedLayer): Promise<StoredImage> {
    const { services, context, lines } = run;
    const { raw, layer } = fetched;
    const file = await storeLayer(run, fetched);
    const image = await finishImport(services, context, raw, [file], () =>
        lines.progress(layer, { status: 'Activating image' }),
    );
    lines.progress(layer, { status: 'Pull complete' });
    return image;
}

/** Makes the image of a layer, unless somebody else does. @throws ApiError; the reason of the signal */
async function bringImage(run: PullRun, fetched: FetchedLayer): Promise<StoredImage> {
    const { services, context } = run;
    const { uuid } = fetched.layer;
    for (let tries = 1; ; tries += 1) {
        const present = await clearWay(services, context, uuid);
        if (present !== undefined) {
            return present;
        }
        try {
            return await makeImage(run, fetched);
        } catch (error) {
            const isOvertaken = error instanceof ApiError && OVERTAKEN.has(error.code);
            if (!isOvertaken || tries >= MAX_TRIES) {
                throw error;
            }
            context.log.info({ err: error, uuid }, 'somebody else is making the image of a layer');
        }
    }
}

/** Whether another process has used the file up: all on one base directory share the staging area. */
async function isUsedUp(error: unknown, { held }: FetchedLayer): Promise<boolean> {
    const isMissing = error instanceof ApiError && systemErrorCode(error.cause) === 'ENOENT';
    return isMissing && (await unlessMissing(stat(held.layer.path))) === undefined;
}

/**
 * Makes the image of a layer, in its turn among the pulls of this process (jobs-and-imports 5.3). Its origin is
 * here. A file that is gone by then is fetched once more.
 *
 * @throws ApiError, OutgoingError; the reason of the signal
 */
export async function activateLayer(run: PullRun, fetched: FetchedLayer): Promise<StoredImage> {
    const { services, context } = run;
    const { layer } = fetched;
    let current = fetched;
    for (let tries = 1; ; tries += 1) {
        try {
            const image = await services.importQueue.runUnlessAborted(layer.uuid, context.signal, () =>
                bringImage(run, current),
            );
            await current.held.discard();
            return image;
        } catch (error) {
            current.held.release();
            if (tries >= MAX_TRIES || !(await isUsedUp(error, current))) {
                throw error;
            }
            context.log.info(
                { err: error, uuid: layer.uuid },
                'another process has used the file of a layer',
            );
        }
        const again = await fetchLayer(run, layer, context.signal);
        if (!('held' in again)) {
            return again.image;
        }
        current = again;
    }
}
