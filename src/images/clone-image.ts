import { ApiError, internalError, notAUuid, validationFailed } from '../base/errors.js';
import type { StoredImage } from '../database/database.js';
import { cloneRecord } from '../manifest/clone.js';
import { isActivated } from '../manifest/state.js';
import type { RawImage } from '../manifest/types.js';
import type { NotedClones } from '../storage/clone-journal.js';
import { activation } from './activate-image.js';
import { storeChange } from './change-image.js';
import { type CloneChain, readCloneChain, requireOneFile } from './clone-chain.js';
import type { ImageServices, RequestContext } from './context.js';
import { failsAs, savesAs } from './failures.js';
import { fileName, requireStorage, storageNameOf } from './image-files.js';
import { type Cleanup, withCleanup } from './image-task.js';
import { loadImage, unlessGone } from './load.js';
import { buildOptions } from './new-record.js';
import { storeFreshImage } from './store-new-image.js';
import { ownContext } from './own-context.js';
import { deleteClones } from './undo-clones.js';

const COPY_FAILURE = 'error copying image file';

/** An image and the record of its clone as it is first stored. */
interface PlannedClone {
    readonly source: RawImage;
    readonly record: RawImage;
}

/** Whether the account may clone the image (http-api 3.21 #2-#4). @throws 422 */
function requireCloneable(raw: RawImage, account: string): void {
    if (raw.state !== 'active') {
        throw validationFailed('image is not active', [{ field: 'active', code: 'Invalid' }]);
    }
    if (!raw.acl.includes(account)) {
        throw new ApiError('ImageNotShared', `Image ${raw.uuid} is not shared with account ${account}`);
    }
    if (raw.type === 'docker') {
        throw validationFailed('docker images cannot be cloned', [{ field: 'type', code: 'Invalid' }]);
    }
}

/** The records of all clones, each with the one before as its origin. @throws 422 `ValidationFailed` */
function planClones(services: ImageServices, chain: CloneChain, account: string): readonly PlannedClone[] {
    const options = buildOptions(services);
    const planned: PlannedClone[] = [];
    let origin = chain.base;
    for (const [index, source] of chain.images.entries()) {
        const own = { owner: account, disabled: index < chain.images.length - 1 };
        const facts = origin === undefined ? own : { ...own, origin };
        const record = cloneRecord(source, facts, options);
        planned.push({ source, record });
        origin = record.uuid;
    }
    return planned;
}

function isUnavailable(error: unknown): boolean {
    return error instanceof ApiError && error.code === 'ServiceUnavailableError';
}

/** The making of the clones of one request; runs in the queues of all images concerned. */
class CloneRun {
    readonly #services: ImageServices;
    readonly #context: RequestContext;
    /** Lets go of the account, which need not see the origin, and of a client that has gone. */
    readonly #own: RequestContext;
    readonly #planned: readonly PlannedClone[];
    readonly #cleanup: Cleanup;

    constructor(
        services: ImageServices,
        context: RequestContext,
        planned: readonly PlannedClone[],
        cleanup: Cleanup,
    ) {
        this.#services = services;
        this.#context = context;
        this.#own = ownContext({ ...context, signal: new AbortController().signal });
        this.#planned = planned;
        this.#cleanup = cleanup;
    }

    async run(): Promise<StoredImage> {
        const noted = await this.#note();
        try {
            const last = await this.#makeAll();
            await this.#settled(noted);
            return last;
        } catch (error) {
            await this.#rollBack(noted, error);
            throw error;
        }
    }

    async #note(): Promise<NotedClones> {
        const clones = this.#planned.map(({ record }) => ({
            uuid: record.uuid,
            stor: storageNameOf(requireOneFile(record)),
        }));
        return this.#services.clones.note(clones).catch(savesAs('could not save clones'));
    }

    /** Each is stored and activated before the next one is begun. */
    async #makeAll(): Promise<StoredImage> {
        let last: StoredImage | undefined;
        for (const planned of this.#planned) {
            this.#context.signal.throwIfAborted();
            last = await this.#make(planned);
        }
        if (last === undefined) {
            throw new TypeError('a chain has at least one image');
        }
        return last;
    }

    /** Bytes first, so that the record never names any that are not there. */
    async #make({ source, record }: PlannedClone): Promise<StoredImage> {
        const services = this.#services;
        const storage = requireStorage(services, storageNameOf(requireOneFile(source)));
        await unlessGone(services, source, () =>
            storage.copy(source.uuid, record.uuid, fileName(0)).catch(failsAs(COPY_FAILURE)),
        );
        await this.#requireSameBytes(source);
        const stored = await storeFreshImage(services, this.#own, record, { originMustBeKnown: true });
        return storeChange(services, record.uuid, activation(services), { seen: stored });
    }

    /** The file of an activated image never changes; that of an ancestor that is not may have, elsewhere. */
    async #requireSameBytes(source: RawImage): Promise<void> {
        if (isActivated(source)) {
            return;
        }
        const { raw } = await this.#services.database.get(source.uuid);
        const [before, after] = [source, raw].map(requireOneFile);
        if (before?.sha1 !== after?.sha1 || before?.mtime !== after?.mtime) {
            throw internalError(`${COPY_FAILURE}: the file was replaced meanwhile`);
        }
    }

    /** Never rejects: the clones are all there. */
    async #settled(noted: NotedClones): Promise<void> {
        await noted.drop().catch((error: unknown) => {
            this.#context.log.warn({ err: error }, 'clone intent stays for now');
        });
    }

    /**
     * Never rejects: the first error is the one to be answered. What is left is tried again later; so
     * is all after an unanswered call of the database, which may still do what it was asked for.
     */
    async #rollBack(noted: NotedClones, cause: unknown): Promise<void> {
        try {
            await deleteClones(this.#services, this.#own, noted.clones, () => undefined, this.#cleanup);
            await (isUnavailable(cause) ? noted.release() : noted.drop());
        } catch (error) {
            const uuids = noted.clones.map(({ uuid }) => uuid);
            this.#context.log.error({ err: error, uuids }, 'clones could not be rolled back for now');
            await noted.release().catch((err: unknown) => {
                this.#context.log.error({ err, uuids }, 'clone intent stays with this process');
            });
        }
    }
}

/** The clones are there already: what goes wrong here is only logged (README table B). */
async function unshare(
    services: ImageServices,
    context: RequestContext,
    { uuid }: RawImage,
    account: string,
): Promise<void> {
    const change = (raw: RawImage) =>
        raw.acl.includes(account) ? { ...raw, acl: raw.acl.filter((one) => one !== account) } : undefined;
    try {
        await storeChange(services, uuid, change, { seen: context.seen });
    } catch (error) {
        context.log.warn({ err: error, uuid, account }, 'cloned image is still shared');
    }
}

/**
 * CloneImage: makes copies of a shared image, and of those of its origins that not everybody has, for
 * the account it is shared with (http-api 3.21, jobs-and-imports 4). The queues of all images
 * concerned are held meanwhile, so that none of them changes or goes in this process.
 *
 * @param options.unshare take the account off the image's ACL afterwards
 * @returns the clone of the image asked for
 * @throws 400 `NotImplemented`, 404, 422, 500, 503; then no clone is left
 */
export async function cloneImage(
    services: ImageServices,
    context: RequestContext,
    uuid: string,
    options: { readonly unshare: boolean },
): Promise<StoredImage> {
    const { raw: source } = context.seen ?? (await loadImage(services, context, uuid));
    const { account } = context;
    if (account === undefined) {
        throw notAUuid('account', 'undefined');
    }
    requireCloneable(source, account);
    const chain = await readCloneChain(services, source, account);
    const planned = planClones(services, chain, account);
    const queues = [
        ...planned.flatMap(({ source: original, record }) => [original.uuid, record.uuid]),
        ...(chain.base === undefined ? [] : [chain.base]),
    ];
    return withCleanup(services, queues, async (cleanup) => {
        const clone = await new CloneRun(services, context, planned, cleanup).run();
        if (options.unshare) {
            await unshare(services, context, source, account);
        }
        return clone;
    });
}
