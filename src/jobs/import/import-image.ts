import { ApiError, imageUuidAlreadyExists, originIsNotActive } from '../../base/errors.js';
import { activateImage } from '../../images/activate-image.js';
import type { ImageServices, RequestContext } from '../../images/context.js';
import { importFromSource } from '../../images/import-from-source.js';
import { findImage } from '../../images/load.js';
import { findOrigin } from '../../images/store-new-image.js';
import { ownContextInChannel } from '../../images/own-context.js';
import { importIdOf } from '../../manifest/import-id.js';
import { isActivated, isUsableState } from '../../manifest/state.js';
import type { JobRun } from '../job-kind.js';
import { activationMark, importParams, isOurs, transferBytes, type ImportParams } from './import-params.js';
import { awaitOthers } from '../../images/await-others.js';
import { FileTransfers } from './transfer-files.js';

/** The context of what a job does to images. */
function jobContext(run: JobRun, { requestId, channel }: ImportParams): RequestContext {
    const { log, signal } = run;
    return ownContextInChannel({
        requestId,
        log,
        signal,
        ...(channel === undefined ? {} : { channel }),
    });
}

/** What a job does for each image that it imports; all of it may be done again after a crash (jobs-and-imports 9.4). */
export class ImageImport {
    readonly params: ImportParams;
    readonly #services: ImageServices;
    readonly #run: JobRun;
    readonly #context: RequestContext;
    readonly #transfers: FileTransfers;

    constructor(services: ImageServices, run: JobRun) {
        this.params = importParams(run);
        this.#services = services;
        this.#run = run;
        this.#context = jobContext(run, this.params);
        this.#transfers = new FileTransfers(services, this.#context, run);
    }

    /**
     * Makes the record, unless this job has made it before.
     *
     * @throws 409 `ImageUuidAlreadyExists`, 422, 500, 503
     */
    async create(uuid: string): Promise<void> {
        const services = this.#services;
        const { address, skipOwnerCheck, importId, datacenter } = this.params;
        let found = await findImage(services, uuid);
        const isMade =
            found !== undefined && importIdOf(found.raw) === importId && found.raw.state !== 'creating';
        if (!isMade) {
            await this.#run.noteCreated(uuid);
            found = await importFromSource(services, this.#context, uuid, {
                address,
                skipOwnerCheck,
                importId,
                manifest: await this.#transfers.manifest(uuid),
                ...(datacenter === undefined ? {} : { datacenter }),
            });
        }
        // It was here when the job was accepted, or an earlier step has brought it.
        await findOrigin(services, this.#context, found?.raw.origin);
    }

    /** @throws as {@link FileTransfers.addAll} */
    async addFiles(uuid: string): Promise<void> {
        await this.#transfers.addAll(uuid);
    }

    /** @throws 404, 409 when the record is another job's by now, 422 `NoActivationNoFile`, 500, 503 */
    async activate(uuid: string): Promise<void> {
        let { raw } = await this.#services.database.get(uuid);
        if (!isActivated(raw)) {
            if (!isOurs(this.#run, this.params, raw)) {
                throw imageUuidAlreadyExists(uuid);
            }
            await this.#run.remember(activationMark(raw));
            ({ raw } = await activateImage(this.#services, this.#context, uuid));
        }
        this.#run.finished({ image_uuid: uuid, state: raw.state });
    }

    /**
     * Sees to it that an origin is here: one that somebody else has brought meanwhile will do.
     *
     * @returns whether this job has brought it
     * @throws as the three parts, 422 `OriginIsNotActive` when somebody else has it and is not done
     */
    async bringOrigin(uuid: string): Promise<boolean> {
        await this.#run.lock(uuid);
        if ((await this.#isOthers(uuid)) || !(await this.#createUnlessTaken(uuid))) {
            return false;
        }
        await this.addFiles(uuid);
        await this.activate(uuid);
        return true;
    }

    /** Says what there is to transfer. */
    plan(uuids: readonly string[]): void {
        this.#run.progress.plan(uuids.length, transferBytes(this.#run, uuids));
    }

    /**
     * Whether somebody else has an image, or is just bringing it, which is waited for.
     *
     * @throws 422 `OriginIsNotActive` when they have given up
     */
    async #isOthers(uuid: string): Promise<boolean> {
        const found = await findImage(this.#services, uuid);
        if (found === undefined || isOurs(this.#run, this.params, found.raw)) {
            return false;
        }
        const brought = await awaitOthers(this.#services, uuid, this.#run.signal);
        if (brought !== undefined && !isUsableState(brought.raw.state)) {
            throw originIsNotActive(uuid);
        }
        return brought !== undefined;
    }

    /** As {@link create}; tells `false` when somebody else was faster, and has brought the image. */
    async #createUnlessTaken(uuid: string): Promise<boolean> {
        const found = await findImage(this.#services, uuid);
        if (isUsableState(found?.raw.state)) {
            return true;
        }
        try {
            await this.create(uuid);
            return true;
        } catch (error) {
            if (!(error instanceof ApiError && error.code === 'ImageUuidAlreadyExists')) {
                throw error;
            }
        }
        if (await this.#isOthers(uuid)) {
            return false;
        }
        await this.create(uuid);
        return true;
    }
}
