import { access, constants } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { ApiError } from '../../../base/errors.js';
import { removeIfPresent } from '../../../base/durable-files.js';
import { ObjectStoreError, type ObjectStore } from '../../../remotes/object-store.js';
import { withFile, type FileBytes } from '../backup/backup-files.js';
import { storeInManta } from '../backup/manta-file.js';
import { md5Of } from '../backup/manta-tree.js';
import { requireReadable } from './readable-log.js';
import { distantDirectory, HOUR_MS, listRotatedLogs, type RotatedLog } from './rotated-logs.js';

/** As long as rotated logs are kept (operations 3.2). */
export const KEPT_HOURS = 168;
/** Different logs of one node and hour: more are a mistake. */
const MAX_SAME_HOUR = 100;
const PRECONDITION_FAILED = 412;

/** What a {@link LogUpload} is made from. */
export interface LogUploadOptions {
    readonly objects: ObjectStore;
    /** `<rootDir>/logs`. */
    readonly root: string;
    /** Where the files are that are to be uploaded, and removed then. */
    readonly directory: string;
    readonly signal: AbortSignal;
    readonly onUploaded: (log: RotatedLog, path: string, size: number) => void;
}

/** Where a log is to be in Manta; `index`: how many other ones of its node and hour are there already. */
export function distantPath(root: string, log: RotatedLog, index: number): string {
    return posix.join(root, distantDirectory(log), `${log.node}${index === 0 ? '' : `.${index}`}.log`);
}

/** @throws Error when files of this directory cannot be removed, so that they would be uploaded for ever */
export async function requireRemovable(directory: string): Promise<void> {
    try {
        await access(directory, constants.W_OK | constants.X_OK);
    } catch (error) {
        throw new Error(
            `${directory} is not to be written to by the owner of the server's data, who could not remove ` +
                'what was uploaded: chown it',
            { cause: error },
        );
    }
}

/** Uploads logs to Manta; what is there stays, so that a log is uploaded once, and none replaces another. */
export class LogUpload {
    readonly #options: LogUploadOptions;

    constructor(options: LogUploadOptions) {
        this.#options = options;
    }

    /**
     * Tries to upload each log once, oldest first; while Manta is out of reach, no more of them.
     *
     * @returns why there are logs left, by the names of their files; empty: there are none
     * @throws the reason of the signal
     */
    async attempt(): Promise<ReadonlyMap<string, unknown>> {
        const { directory, signal } = this.#options;
        const left = new Map<string, unknown>();
        let outage: ApiError | undefined;
        for (const log of await listRotatedLogs(directory)) {
            signal.throwIfAborted();
            try {
                // Said also while Manta is away: else such a log would be given up without a word of it.
                await requireReadable(join(directory, log.file));
                if (outage !== undefined) {
                    throw outage;
                }
                await this.#upload(log);
            } catch (error) {
                signal.throwIfAborted();
                left.set(log.file, error);
                if (error instanceof ApiError && error.code === 'StorageIsDown') {
                    outage = error;
                }
            }
        }
        return left;
    }

    /**
     * Removes logs that were due so long ago that they would fill the disk.
     *
     * @returns names of files
     */
    async dropOld(now: number): Promise<readonly string[]> {
        const { directory } = this.#options;
        const old = (await listRotatedLogs(directory)).filter(({ at }) => at < now - KEPT_HOURS * HOUR_MS);
        for (const { file } of old) {
            await removeIfPresent(join(directory, file));
        }
        return old.map(({ file }) => file);
    }

    async #upload(log: RotatedLog): Promise<void> {
        const { objects, root, directory } = this.#options;
        await objects.makeDirectory(posix.join(root, distantDirectory(log)));
        for (let index = 0; index < MAX_SAME_HOUR; index += 1) {
            const path = distantPath(root, log, index);
            const size = await this.#put(log.file, path);
            if (size !== undefined) {
                await removeIfPresent(join(directory, log.file));
                this.#options.onUploaded(log, path, size);
                return;
            }
        }
        throw new Error(`Manta has ${MAX_SAME_HOUR} other logs of its hour`);
    }

    /** Sees to it that an object has these bytes. @returns how many; `undefined`: it has other ones */
    async #put(file: string, path: string): Promise<number | undefined> {
        const { objects, signal } = this.#options;
        if ((await objects.stat(path)) === undefined) {
            try {
                return await this.#use(file, async (bytes) => {
                    await storeInManta(objects, path, bytes, { ifNew: true, signal });
                });
            } catch (error) {
                // Somebody was faster: perhaps our own call, whose answer was lost.
                if (!(error instanceof ObjectStoreError && error.status === PRECONDITION_FAILED)) {
                    throw error;
                }
            }
        }
        let isSame = false;
        const size = await this.#use(file, async (bytes) => {
            const found = await objects.stat(path);
            isSame = found?.size === bytes.size && found.md5 === (await md5Of(bytes));
        });
        return isSame ? size : undefined;
    }

    /** @returns how many bytes a file has. @throws Error also when there is no such file any more */
    async #use(file: string, use: (bytes: FileBytes) => Promise<void>): Promise<number> {
        const used = await withFile(this.#options.directory, file, use);
        if (used === undefined) {
            throw new Error('it is gone');
        }
        return used.size;
    }
}
