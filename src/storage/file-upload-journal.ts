import { randomBytes } from 'node:crypto';
import { open, readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import {
    createWhole,
    FILE_MODE,
    makeDirectory,
    removeDurably,
    removeIfPresent,
    syncDirectory,
    writeFileDurably,
} from '../base/durable-files.js';
import { serviceUnavailable, systemErrorCode } from '../base/errors.js';
import { unlessMissing } from '../base/unless-missing.js';
import { isUuid } from '../base/uuid.js';
import { lockText, readLockFile, type LockFile } from '../lock/lock-record.js';
import { withTakeGuard } from '../lock/take-guard.js';
import { isStoredFileName } from './file-names.js';
import type { StoredFileName } from './storage.js';
import type { PendingUpload, UploadClaim, UploadIntent, UploadJournal } from './upload-journal.js';
import { type Claimant, UploadOwner } from './upload-owner.js';

/** How often a file that another process is working on is looked at, milliseconds. */
const POLL_MS = 25;

/** How long another process is waited for, milliseconds. */
const WAIT_MS = 15_000;

/** `Retry-After` when it took longer, seconds. */
const RETRY_AFTER = 5;

/** Claims of this process, by path. */
const held = new Set<string>();

/** What a {@link FileUploadJournal} needs. */
export interface FileUploadJournalOptions {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
    /** `holder`: one server writes, so that what it does not know of was left by one that has ended. */
    readonly writers: 'all' | 'holder';
    /** `tool`: this process works beside servers, whoever of them writes; `writers` is `all` then. */
    readonly claimant?: Claimant;
    /** How long another process is waited for, milliseconds; for tests. */
    readonly waitMs?: number;
}

function isIntent(value: unknown): value is UploadIntent {
    if (typeof value !== 'object' || value === null) {
        return false;
    }
    const { uuid, name, stor, temporaryName, previous, behind, next } = value as Partial<
        Record<keyof UploadIntent, unknown>
    >;
    return (
        isUuid(uuid) &&
        typeof name === 'string' &&
        isStoredFileName(name) &&
        typeof stor === 'string' &&
        typeof temporaryName === 'string' &&
        typeof next === 'object' &&
        next !== null &&
        (previous === undefined || (typeof previous === 'object' && previous !== null)) &&
        (behind === undefined || Array.isArray(behind))
    );
}

/** Makes a new file; nothing is synced. @returns false: there is one already */
async function createNew(path: string, text: string): Promise<boolean> {
    let handle;
    try {
        handle = await open(path, 'wx', FILE_MODE);
    } catch (error) {
        if (systemErrorCode(error) === 'EEXIST') {
            return false;
        }
        throw error;
    }
    try {
        await handle.writeFile(text);
        return true;
    } catch (error) {
        await removeIfPresent(path).catch(() => undefined);
        throw error;
    } finally {
        await handle.close();
    }
}

/** The intent in a file; `undefined`: only a claim. @throws Error when it is neither */
function intentIn({ text, record }: LockFile): UploadIntent | undefined {
    const value: unknown = JSON.parse(text);
    if (isIntent(value)) {
        const { uuid, name, stor, temporaryName, previous, behind, next } = value;
        return {
            uuid,
            name,
            stor,
            temporaryName,
            ...(previous === undefined ? {} : { previous }),
            ...(behind === undefined ? {} : { behind }),
            next,
        };
    }
    if (record === undefined) {
        throw new Error('not an upload intent');
    }
    return undefined;
}

function intentOrNone(found: LockFile): UploadIntent | undefined {
    try {
        return intentIn(found);
    } catch {
        return undefined;
    }
}

/**
 * Journal in `run/uploads`. `<uuid>.<file>.json` belongs to the process that finishes an upload of that
 * file, and holds its intent; `<uuid>.<random>.json` is an intent that nobody works on any more.
 */
export class FileUploadJournal implements UploadJournal {
    readonly #options: FileUploadJournalOptions;
    readonly #log: Logger;
    readonly #owner: UploadOwner;

    constructor(options: FileUploadJournalOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'journal' }, true);
        this.#owner = new UploadOwner(options.clock, options.claimant);
    }

    async claim(uuid: string, name: StoredFileName): Promise<UploadClaim> {
        const { directories, waitMs = WAIT_MS } = this.#options;
        const path = this.#claimPath(uuid, name);
        await makeDirectory(directories.uploads);
        const deadline = performance.now() + waitMs;
        for (;;) {
            const claim = await this.#tryClaim(uuid, path);
            if (claim !== undefined) {
                return claim;
            }
            if (performance.now() > deadline) {
                throw serviceUnavailable(`another upload of ${name} is being finished`, RETRY_AFTER);
            }
            await delay(POLL_MS);
        }
    }

    async pending(uuid = ''): Promise<readonly PendingUpload[]> {
        const { uploads } = this.#options.directories;
        const names = (await unlessMissing(readdir(uploads))) ?? [];
        const pending: PendingUpload[] = [];
        for (const name of names.filter((one) => one.startsWith(uuid) && one.endsWith('.json'))) {
            const path = join(uploads, name);
            try {
                const found = await readLockFile(path);
                const left = found && (await this.#leftIn(path, found));
                pending.push(...(left === undefined ? [] : [left]));
            } catch (err) {
                this.#log.error({ err, path }, 'upload intent cannot be read: left as it is');
            }
        }
        return pending;
    }

    /** `undefined`: nothing is left there, or somebody works on it. */
    async #leftIn(path: string, found: LockFile): Promise<PendingUpload | undefined> {
        // An empty one is a claim in the making, or was one in a crash: nothing has been done.
        const intent = found.text === '' ? undefined : intentIn(found);
        if (intent === undefined) {
            await this.#removeIfLeft(path, found);
            return undefined;
        }
        if (path !== this.#claimPath(intent.uuid, intent.name)) {
            return { intent, drop: () => removeDurably(path) };
        }
        return (await this.#isLeft(path, found)) ? { intent } : undefined;
    }

    /** Removes a claim whose process has ended before it did anything. */
    async #removeIfLeft(path: string, found: LockFile): Promise<void> {
        const [uuid, name] = basename(path).split('.');
        const isClaim = uuid !== undefined && name !== undefined && path === this.#claimPath(uuid, name);
        if (isClaim && (await this.#isLeft(path, found))) {
            const claim = await this.#tryClaim(uuid, path);
            await claim?.end(claim.left === undefined);
        }
    }

    #claimPath(uuid: string, name: string): string {
        return join(this.#options.directories.uploads, `${uuid}.${name}.json`);
    }

    async #isLeft(path: string, found: LockFile): Promise<boolean> {
        if (held.has(path)) {
            return false;
        }
        const isOwnPast = this.#options.writers === 'holder' && this.#owner.isServers(found);
        return isOwnPast || (await this.#owner.hasLeft(found));
    }

    /** `undefined`: another process works on the file. */
    async #tryClaim(uuid: string, path: string): Promise<UploadClaim | undefined> {
        const text = await this.#owned();
        // A server takes what it finds empty for left by the server before.
        const isNew =
            this.#options.claimant === 'tool'
                ? await createWhole(path, (temporary) => createNew(temporary, text))
                : await createNew(path, text);
        if (isNew) {
            return this.#claimed(uuid, path, undefined);
        }
        const found = await readLockFile(path);
        if (found === undefined || !(await this.#isLeft(path, found))) {
            return undefined;
        }
        return withTakeGuard(`${path}.guard`, text, this.#options.clock.now(), async () => {
            const left = intentOrNone(found);
            if ((await readLockFile(path))?.text !== found.text) {
                return undefined;
            }
            await writeFileDurably(path, await this.#owned(left));
            return this.#claimed(uuid, path, left);
        });
    }

    /** A claim as it is stored: this process's, with what it is doing. */
    async #owned(intent?: UploadIntent): Promise<string> {
        // The owner last: nothing of an intent may pass for it.
        return lockText({ ...intent, ...(await this.#owner.record()) });
    }

    #claimed(uuid: string, path: string, left: UploadIntent | undefined): UploadClaim {
        let isNoted = left !== undefined;
        held.add(path);
        return {
            ...(left === undefined ? {} : { left }),
            note: async (intent) => {
                isNoted = true;
                await writeFileDurably(path, await this.#owned(intent));
            },
            end: async (isSettled) => {
                try {
                    await (isNoted && !isSettled ? this.#keep(uuid, path) : this.#remove(path, isNoted));
                } finally {
                    held.delete(path);
                }
            },
        };
    }

    async #remove(path: string, isNoted: boolean): Promise<void> {
        await (isNoted ? removeDurably(path) : removeIfPresent(path));
    }

    async #keep(uuid: string, path: string): Promise<void> {
        const { uploads } = this.#options.directories;
        await rename(path, join(uploads, `${uuid}.${randomBytes(8).toString('hex')}.json`));
        await syncDirectory(uploads);
    }
}
