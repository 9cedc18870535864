import { readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type Logger from 'bunyan';
import { uuidPrefix } from '../../base/directories.js';
import { makeDirectory, removeDurably, syncDirectory, writeFileDurably } from '../../base/durable-files.js';
import { forEachParallel } from '../../base/parallel.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isUuid } from '../../base/uuid.js';
import { walkFiles } from '../../base/walk-files.js';
import { isJobRecord, type JobRecord } from './job-record.js';

const SUFFIX = '.json';
const BAD_SUFFIX = '.bad';

/** Files read at a time. */
const READERS = 16;

/** The jobs are not this process's to change any more. */
export class StoreClosed extends Error {
    constructor() {
        super('the jobs are not kept by this process any more');
        this.name = 'StoreClosed';
    }
}

/** What tells one version of a file from another: each is a file of its own that was renamed. */
interface Version {
    readonly ino: number;
    readonly mtimeMs: number;
    readonly record: JobRecord;
}

/** Uuid of the job whose file this is, by its name; `undefined`: it is no job's. */
function uuidOf(segments: readonly string[]): string | undefined {
    const [prefix, name = ''] = segments;
    const uuid = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : undefined;
    return segments.length === 2 && isUuid(uuid) && uuidPrefix(uuid) === prefix ? uuid : undefined;
}

/** Where jobs are kept (jobs-and-imports 9.4). Only one process writes. */
export interface JobStore {
    /** Durable when it resolves. @throws the file system's error, {@link StoreClosed} */
    write(record: JobRecord): Promise<void>;
    /** @throws the file system's error, {@link StoreClosed} */
    remove(uuid: string): Promise<void>;
    /** Refuses every change from now on; resolves when none is under way any more. */
    close(): Promise<void>;
    /** Whether another process may be the one that writes by now. */
    readonly isClosed: boolean;
    /**
     * Reads every job; what cannot be read gets out of the way under another name.
     *
     * @throws the file system's error when they cannot be listed
     */
    load(): Promise<readonly JobRecord[]>;
    /** How many the writer has put aside. @throws the file system's error when they cannot be listed */
    countBad(): Promise<number>;
    /**
     * Reads every job for a process that does not write them; what cannot be read is left out.
     *
     * @throws the file system's error when they cannot be listed
     */
    list(): Promise<readonly JobRecord[]>;
    /** Reads one job; `undefined`: there is none. @throws the file system's error */
    find(uuid: string): Promise<JobRecord | undefined>;
}

/** Jobs as files `<first 3 of uuid>/<uuid>.json` (jobs-and-imports 9.4). */
export class JobFiles implements JobStore {
    readonly #directory: string;
    readonly #log: Logger;
    /** What files held when they were read last. */
    #read = new Map<string, Version>();
    readonly #writing = new Set<Promise<void>>();
    #closed = false;

    constructor(options: { readonly directory: string; readonly log: Logger }) {
        this.#directory = options.directory;
        this.#log = options.log;
    }

    write(record: JobRecord): Promise<void> {
        return this.#track(async () => {
            const path = this.#path(record.uuid);
            await makeDirectory(dirname(path));
            await writeFileDurably(path, `${JSON.stringify(record)}\n`);
        });
    }

    remove(uuid: string): Promise<void> {
        return this.#track(async () => {
            await unlessMissing(removeDurably(this.#path(uuid)));
        });
    }

    async close(): Promise<void> {
        this.#closed = true;
        await Promise.allSettled(this.#writing);
    }

    get isClosed(): boolean {
        return this.#closed;
    }

    async load(): Promise<readonly JobRecord[]> {
        const records: JobRecord[] = [];
        await forEachParallel(walkFiles(this.#directory, 1), READERS, async ({ path, segments }) => {
            const uuid = uuidOf(segments);
            if (uuid === undefined) {
                return;
            }
            try {
                records.push(await this.#parse(path, uuid));
            } catch (err) {
                this.#log.error({ err, path }, 'not a job: put aside');
                await this.#putAside(path);
            }
        });
        return records;
    }

    async countBad(): Promise<number> {
        let count = 0;
        for await (const { segments } of walkFiles(this.#directory, 1)) {
            count += (segments.at(-1) ?? '').endsWith(BAD_SUFFIX) ? 1 : 0;
        }
        return count;
    }

    /** Files that have not changed are not read again. */
    async list(): Promise<readonly JobRecord[]> {
        const found = new Map<string, Version>();
        for await (const { path, segments } of walkFiles(this.#directory, 1)) {
            const uuid = uuidOf(segments);
            const version = uuid === undefined ? undefined : await this.#version(path, uuid);
            if (version !== undefined) {
                found.set(path, version);
            }
        }
        this.#read = found;
        return [...found.values()].map(({ record }) => record);
    }

    async find(uuid: string): Promise<JobRecord | undefined> {
        return (await this.#version(this.#path(uuid), uuid))?.record;
    }

    async #track(task: () => Promise<void>): Promise<void> {
        if (this.#closed) {
            throw new StoreClosed();
        }
        const work = task();
        this.#writing.add(work);
        try {
            await work;
        } finally {
            this.#writing.delete(work);
        }
    }

    #path(uuid: string): string {
        return join(this.#directory, uuidPrefix(uuid), `${uuid}${SUFFIX}`);
    }

    async #version(path: string, uuid: string): Promise<Version | undefined> {
        const facts = await unlessMissing(stat(path));
        if (facts === undefined) {
            return undefined;
        }
        const { ino, mtimeMs } = facts;
        const known = this.#read.get(path);
        if (known?.ino === ino && known.mtimeMs === mtimeMs) {
            return known;
        }
        try {
            return { ino, mtimeMs, record: await this.#parse(path, uuid) };
        } catch (err) {
            this.#log.debug({ err, path }, 'not a job, or not any more');
            return undefined;
        }
    }

    async #parse(path: string, uuid: string): Promise<JobRecord> {
        const value: unknown = JSON.parse(await readFile(path, 'utf8'));
        if (!isJobRecord(value) || value.uuid !== uuid) {
            throw new Error('the file does not hold that job');
        }
        return value;
    }

    /** A job that nobody can read must not be taken for one that is there, nor be lost. */
    async #putAside(path: string): Promise<void> {
        try {
            await rename(path, `${path}${BAD_SUFFIX}`);
            await syncDirectory(dirname(path));
        } catch (err) {
            this.#log.error({ err, path }, 'could not be put aside: left as it is');
        }
    }
}
