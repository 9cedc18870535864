import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import type { StorageType } from '../base/constants.js';
import { createFileDurably, makeDirectory, removeDurably, writeFileDurably } from '../base/durable-files.js';
import type { KeyedQueue } from '../base/keyed-queue.js';
import { unlessMissing } from '../base/unless-missing.js';
import { AwayStorages } from './away-storages.js';
import type { DeleteJournal, JournalEntry, PendingDelete } from './delete-journal.js';
import { readLockFile } from '../lock/lock-record.js';
import { isStoredFileName } from './file-names.js';
import { parseJournalRecord, type JournalRecord } from './journal-entry.js';
import type { Storage } from './storage.js';
import { UploadOwner } from './upload-owner.js';
import type { UploadClaim, UploadJournal } from './upload-journal.js';

/**
 * How long an entry is kept whose files the record still names, or of whose change nobody knows whether
 * it will be made, milliseconds: another process may be between its note and its change.
 */
const KEEP_UNCHANGED_MS = 600_000;

/** What {@link FileDeleteJournal} needs. */
export interface FileDeleteJournalOptions {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
    readonly storages: ReadonlyMap<StorageType, Storage>;
    /**
     * The files the current record of an image names; none when there is no such image. It must
     * reject when the database cannot tell: then the files are kept for now.
     */
    readonly currentFiles: (uuid: string) => Promise<readonly PendingDelete[]>;
    readonly imageQueue: KeyedQueue;
    /** `holder`: one process writes, so that what it does not know of was left by one that has ended. */
    readonly writers: 'all' | 'holder';
    /** Keeps other processes from finishing an upload of a file while a pass decides about it. */
    readonly uploads?: Pick<UploadJournal, 'claim'>;
}

/** What became of the files of an entry. */
interface Outcome {
    readonly left: number;
    /** Files the current record names. */
    readonly kept: number;
}

/** Whether no file of an entry can be deleted now. */
async function everyOneAway(away: AwayStorages, { files }: JournalRecord): Promise<boolean> {
    let left = 0;
    for (const { stor } of files) {
        left += (await away.isAway(stor)) ? 1 : 0;
    }
    return left > 0 && left === files.length;
}

/** Journal in `run/deletes/<uuid>.<random>.json`, one file an entry (backends W5, README table C). */
export class FileDeleteJournal implements DeleteJournal {
    readonly #options: FileDeleteJournalOptions;
    readonly #log: Logger;
    readonly #directory: string;
    /** Entries of this process whose change is under way. */
    readonly #held = new Set<string>();
    readonly #owner: UploadOwner;

    constructor(options: FileDeleteJournalOptions) {
        this.#options = options;
        this.#directory = options.directories.deletes;
        this.#log = options.log.child({ component: 'journal' }, true);
        this.#owner = new UploadOwner(options.clock);
    }

    async note(uuid: string, files: readonly PendingDelete[], notBefore?: number): Promise<JournalEntry> {
        if (files.length === 0) {
            return {
                finish: () => Promise.resolve(),
                drop: () => Promise.resolve(),
                leave: () => undefined,
                postpone: () => Promise.resolve(),
            };
        }
        const record: JournalRecord = {
            uuid,
            files: files.map(({ stor, name }) => ({ stor, name })),
            ...(notBefore === undefined ? {} : { notBefore, ...(await this.#owner.record()) }),
        };
        const path = join(this.#directory, `${uuid}.${randomBytes(8).toString('hex')}.json`);
        this.#held.add(path);
        try {
            await makeDirectory(this.#directory);
            await createFileDurably(path, JSON.stringify(record));
        } catch (error) {
            this.#held.delete(path);
            throw error;
        }
        return {
            finish: () => this.#finish(path, record),
            drop: () => this.#drop(path),
            leave: () => void this.#held.delete(path),
            postpone: () => this.#postpone(path, record),
        };
    }

    async pass(signal?: AbortSignal): Promise<number> {
        const away = new AwayStorages(this.#options.storages);
        let left = 0;
        for (const path of await this.#entries()) {
            left += signal?.aborted !== true && (await this.#retry(path, away)) ? 0 : 1;
        }
        return left;
    }

    /** Ends an entry of this process. Whatever fails is tried again by a later pass. */
    async #finish(path: string, record: JournalRecord): Promise<void> {
        try {
            await this.#settle(path, record, true, new AwayStorages(this.#options.storages));
        } catch (err) {
            this.#log.warn({ err, path }, 'pending delete could not be ended, it will be tried again');
        } finally {
            this.#held.delete(path);
        }
    }

    async #drop(path: string): Promise<void> {
        try {
            await removeDurably(path);
        } catch (err) {
            this.#log.warn(
                { err, path },
                'pending delete could not be forgotten, it will be looked at again',
            );
        } finally {
            this.#held.delete(path);
        }
    }

    /** Without its owner, so that no process takes the entry for one of a process that has ended. */
    async #postpone(path: string, { uuid, files }: JournalRecord): Promise<void> {
        const record: JournalRecord = {
            uuid,
            files,
            notBefore: this.#options.clock.now() + KEEP_UNCHANGED_MS,
        };
        try {
            await writeFileDurably(path, JSON.stringify(record));
        } catch (err) {
            this.#log.warn({ err, path }, 'pending delete could not be postponed');
        } finally {
            this.#held.delete(path);
        }
    }

    async #entries(): Promise<readonly string[]> {
        const names = (await unlessMissing(readdir(this.#directory))) ?? [];
        return names.filter((name) => name.endsWith('.json')).map((name) => join(this.#directory, name));
    }

    /**
     * Tells whether the entry is done with.
     *
     * @param away storages that the pass has found down
     */
    async #retry(path: string, away: AwayStorages): Promise<boolean> {
        try {
            const record = await this.#read(path);
            if (record === undefined) {
                return true;
            }
            if (await everyOneAway(away, record)) {
                return false;
            }
            return await this.#options.imageQueue.run(record.uuid, async () => {
                // Asked again in the queue: whoever held it may have ended the entry meanwhile.
                const facts = await unlessMissing(stat(path));
                if (facts === undefined) {
                    return true;
                }
                const { writers, clock } = this.#options;
                const isUnderWay = writers === 'all' && clock.now() - facts.mtimeMs < KEEP_UNCHANGED_MS;
                return !this.#held.has(path) && (await this.#settleClaimed(path, record, !isUnderWay, away));
            });
        } catch (err) {
            this.#log.warn({ err, path }, 'pending delete is left for later');
            return false;
        }
    }

    /**
     * As {@link #settle}, while no other process finishes an upload of these files: in between its
     * bytes are in place and no record names them.
     */
    async #settleClaimed(
        path: string,
        record: JournalRecord,
        dropKept: boolean,
        away: AwayStorages,
    ): Promise<boolean> {
        const { uploads } = this.#options;
        const names = uploads === undefined ? [] : record.files.map(({ name }) => name);
        const claims: UploadClaim[] = [];
        try {
            for (const name of [...new Set(names)].filter(isStoredFileName).sort()) {
                const claim = await uploads?.claim(record.uuid, name);
                claims.push(...(claim === undefined ? [] : [claim]));
            }
            const isFree = claims.every(({ left }) => left === undefined);
            return isFree && (await this.#settle(path, record, dropKept, away));
        } finally {
            for (const claim of claims) {
                await claim.end(claim.left === undefined);
            }
        }
    }

    async #read(path: string): Promise<JournalRecord | undefined> {
        const text = await unlessMissing(readFile(path, 'utf8'));
        return text === undefined ? undefined : parseJournalRecord(text);
    }

    /** Deletes the files of an entry and, when none is left, the entry. Runs inside the image's queue. */
    async #settle(
        path: string,
        record: JournalRecord,
        dropKept: boolean,
        away: AwayStorages,
    ): Promise<boolean> {
        if (!(await this.#isDue(path, record))) {
            return false;
        }
        const { left, kept } = await this.#deleteFiles(record, away);
        if (left > 0 || (kept > 0 && !dropKept)) {
            return false;
        }
        await removeDurably(path);
        return true;
    }

    /** What a process that has ended was doing need not be waited for. */
    async #isDue(path: string, { notBefore }: JournalRecord): Promise<boolean> {
        if (notBefore === undefined || notBefore <= this.#options.clock.now()) {
            return true;
        }
        const found = await readLockFile(path);
        return found !== undefined && (await this.#owner.hasEnded(found));
    }

    async #deleteFiles({ uuid, files }: JournalRecord, away: AwayStorages): Promise<Outcome> {
        const current = await this.#options.currentFiles(uuid);
        let left = 0;
        let kept = 0;
        for (const file of files) {
            if (current.some(({ stor, name }) => stor === file.stor && name === file.name)) {
                kept += 1;
            } else if (!(await this.#deleteFile(uuid, file, away))) {
                left += 1;
            }
        }
        return { left, kept };
    }

    async #deleteFile(uuid: string, { stor, name }: PendingDelete, away: AwayStorages): Promise<boolean> {
        if (away.has(stor)) {
            return false;
        }
        const storage = this.#options.storages.get(stor as StorageType);
        if (storage === undefined) {
            this.#log.warn(
                { uuid, stor, file: name },
                'file to delete is in a storage that is not configured',
            );
            return false;
        }
        try {
            await (isStoredFileName(name) ? storage.remove(uuid, name) : storage.removeTemporary(uuid, name));
            return true;
        } catch (err) {
            this.#log.warn(
                { err, uuid, stor, file: name },
                'file could not be deleted, it will be tried again',
            );
            away.note(stor, err);
            return false;
        }
    }
}
