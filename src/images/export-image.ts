import { createHash } from 'node:crypto';
import { MAX_BODY_SIZE } from '../base/constants.js';
import {
    ApiError,
    internalError,
    isStorageDown,
    resourceNotFound,
    storageUnsupported,
} from '../base/errors.js';
import { newUuid } from '../base/uuid.js';
import { toApiManifest } from '../manifest/serialize.js';
import type { ImageFile, RawImage } from '../manifest/types.js';
import type { ObjectStore } from '../remotes/object-store.js';
import type { ExportIntent } from '../storage/export-journal.js';
import type { OwnedIntent } from '../storage/owned-intents.js';
import type { ImageServices, RequestContext } from './context.js';
import type { ExportArea } from './export-area.js';
import { type ExportPrefix, findExportPaths, requireExportPrefix } from './export-paths.js';
import { failsAs } from './failures.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';
import { ownImageSeen, unlessGone } from './load.js';
import { hasExportedFile, MANIFEST_TYPE, settleExport } from './settle-export.js';

const MANIFEST_FAILURE = 'error exporting image manifest';
const FILE_FAILURE = 'error exporting image file';
const FILE = fileName(0);
const MANTA = 'manta';

/** The answer (jobs-and-imports 7.1). */
export interface ExportedImage {
    readonly manta_url: string;
    readonly image_path: string;
    readonly manifest_path: string;
}

/** An export on its way. */
interface ExportJob {
    readonly area: ExportArea;
    readonly noted: OwnedIntent<ExportIntent>;
    readonly manifest: Buffer;
    /** Whether the target is in the area of the account that signs, where links can be made. */
    readonly isOwnArea: boolean;
}

/** Where an image's only file can be exported from (jobs-and-imports 7.1 #3, #4). @throws 400, 404, 503 */
function requireExportable(
    services: ImageServices,
    { uuid, files = [] }: RawImage,
): { readonly area: ExportArea; readonly file: ImageFile } {
    const { exports: area } = services;
    const [file, ...others] = files;
    if (area === undefined) {
        throw storageUnsupported();
    }
    if (file === undefined) {
        throw resourceNotFound(`image "${uuid}" has no file`);
    }
    if (storageNameOf(file) !== MANTA) {
        throw storageUnsupported();
    }
    if (others.length > 0) {
        throw new ApiError('NotImplemented', 'cannot export images with multiple files');
    }
    return { area, file };
}

/**
 * Makes sure that a call made for an account writes to no other account's area (jobs-and-imports 7.1 #5,
 * #6). Where there is no user database nobody is known to own an area.
 *
 * @throws 422; 503 when the user database cannot be asked
 */
async function requirePathOwner(
    { accounts }: ImageServices,
    { account }: RequestContext,
    prefix: ExportPrefix,
): Promise<void> {
    if (account === undefined) {
        return;
    }
    const login = await accounts?.login(account);
    if (login === undefined) {
        throw new ApiError('AccountDoesNotExist', `account "${account}" does not exist`);
    }
    if (login !== prefix.login) {
        throw new ApiError(
            'NotMantaPathOwner',
            `account ${account} is not the owner of Manta path ${prefix.path}`,
        );
    }
}

/** The MD5 of the stored file. @throws 500 when it is not there, or not as its record says; 503 */
async function requireStoredFile(
    services: ImageServices,
    uuid: string,
    file: ImageFile,
): Promise<string | undefined> {
    const storage = requireStorage(services, MANTA);
    const found = await storage.stat(uuid, FILE).catch(failsAs(FILE_FAILURE));
    if (found === undefined) {
        throw internalError(`${FILE_FAILURE}: file is missing from storage`);
    }
    if (found.size !== file.size) {
        throw internalError(`${FILE_FAILURE}: stored size is ${found.size}, expected ${file.size}`);
    }
    return file.contentMD5 ?? found.md5;
}

/** What lies where the manifest is to go, base64; to be put back when the export comes to nothing. */
async function readPrevious(objects: ObjectStore, path: string): Promise<string | undefined> {
    const found = await objects.stat(path);
    if (found === undefined || found.isDirectory) {
        return undefined;
    }
    return (await objects.read(path, MAX_BODY_SIZE))?.bytes.toString('base64');
}

/** Not ended half-way: what the store makes of the rest nobody would know. */
async function putManifest({ area, noted, manifest }: ExportJob): Promise<void> {
    const { manifestPath, manifestMd5 } = noted.intent;
    const { etag } = await area.objects.put(manifestPath, manifest, {
        contentType: MANIFEST_TYPE,
        md5: manifestMd5,
    });
    if (etag !== undefined) {
        await noted.replace({ ...noted.intent, manifestEtag: etag });
    }
}

/** Checks what has come: the file of an image that is not activated may be replaced at any time. */
async function copyFile({ area, noted, isOwnArea }: ExportJob, signal: AbortSignal): Promise<void> {
    const { uuid, imagePath, manifestPath, manifestEtag } = noted.intent;
    const { objects } = area;
    await objects.copy(area.pathOf(uuid, FILE), imagePath, { link: isOwnArea, signal });
    if (await hasExportedFile(objects, noted.intent)) {
        return;
    }
    // Unless somebody else has exported to the same place since: then it is theirs.
    if ((await objects.stat(manifestPath))?.etag === manifestEtag) {
        await objects.remove(imagePath);
    }
    throw internalError('the file was replaced meanwhile');
}

/**
 * Never rejects: why the export failed is what is answered. What is left is tried again later; so is all
 * after a manifest that the store did not say it has, which may still come to be there.
 */
async function takeBack({ area, noted }: ExportJob, { log }: RequestContext, cause: unknown): Promise<void> {
    const { uuid, manifestPath, manifestEtag } = noted.intent;
    const isDoubtful = manifestEtag === undefined && isStorageDown(cause);
    try {
        const outcome = await settleExport(area, noted.intent);
        await (isDoubtful ? noted.release() : noted.drop());
        log.info({ uuid, manifestPath, outcome }, 'failed export settled');
    } catch (err) {
        log.error({ err, uuid, manifestPath }, 'failed export could not be settled for now');
        await noted.release().catch((error: unknown) => {
            log.error({ err: error, uuid }, 'export intent stays with this process');
        });
    }
}

/** Stores manifest and file, or neither. @throws 404, 500, 503 */
async function transfer(
    services: ImageServices,
    context: RequestContext,
    raw: RawImage,
    job: ExportJob,
): Promise<void> {
    const { signal, log } = context;
    try {
        signal.throwIfAborted();
        await putManifest(job).catch(failsAs(MANIFEST_FAILURE));
        await unlessGone(services, raw, () => copyFile(job, signal).catch(failsAs(FILE_FAILURE)));
    } catch (error) {
        await takeBack(job, context, error);
        throw error;
    }
    await job.noted.drop().catch((err: unknown) => {
        log.warn({ err, uuid: raw.uuid }, 'export intent stays for now');
    });
}

/**
 * ExportImage: stores the manifest of an image and a copy of its file at a path of the store that has
 * the file (jobs-and-imports 7.1). The manifest comes first; it goes again, or the one before comes
 * back, when the file cannot be stored.
 *
 * @param mantaPath the `manta_path` parameter; `undefined`: it does not occur
 * @throws 400 `NotImplemented`, 404, 422, 500, 503
 */
export async function exportImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    mantaPath: string | undefined,
): Promise<ExportedImage> {
    const { raw } = await ownImageSeen(services, context, uuid);
    const prefix = requireExportPrefix(mantaPath);
    const { area, file } = requireExportable(services, raw);
    await requirePathOwner(services, context, prefix);
    const { objects, journal } = area;
    const paths = await findExportPaths(objects, prefix, raw, file).catch(failsAs(MANIFEST_FAILURE));
    const previous = await readPrevious(objects, paths.manifest).catch(failsAs(MANIFEST_FAILURE));
    const md5 = await requireStoredFile(services, uuid, file);
    const form = { mode: services.config.current.mode, version2: context.version2, inclAdminFields: false };
    const manifest = Buffer.from(JSON.stringify(toApiManifest(raw, form), null, 4));
    const intent: ExportIntent = {
        id: newUuid(),
        uuid,
        manifestPath: paths.manifest,
        manifestMd5: createHash('md5').update(manifest).digest('base64'),
        ...(previous === undefined ? {} : { previous }),
        imagePath: paths.image,
        size: file.size,
        ...(md5 === undefined ? {} : { md5 }),
    };
    const noted = await journal.note(intent).catch(failsAs(MANIFEST_FAILURE));
    const isOwnArea = prefix.login === objects.user;
    await transfer(services, context, raw, { area, noted, manifest, isOwnArea });
    return { manta_url: objects.url, image_path: paths.image, manifest_path: paths.manifest };
}
