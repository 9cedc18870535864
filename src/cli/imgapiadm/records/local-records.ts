import { open, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Database } from '../../../database/database.js';
import { isTemporary, recordFileName, uuidOfFile } from '../../../database/local/file-names.js';
import { inCurrentForm, MAX_RECORD_SIZE } from '../../../database/local/record-reader.js';
import { findRecord } from '../../../maintenance/record-exists.js';
import { isObject } from '../../../manifest/coerce.js';
import type { RawImage } from '../../../manifest/types.js';
import {
    ChangedMeanwhile,
    type Data,
    type StoredEntry,
    type StoredRecords,
    type StrayEntry,
} from './stored-records.js';

/** Files read at the same time. */
const PARALLEL_READS = 32;

/** What {@link LocalRecords} are made from. */
export interface LocalRecordsOptions {
    readonly directories: BaseDirectories;
    readonly database: Database;
}

/** Content of a file; `undefined` for none, a reason for one that is no record whatever is in it. */
async function content(path: string): Promise<string | { readonly reason: string } | undefined> {
    const handle = await unlessMissing(open(path, 'r'));
    if (handle === undefined) {
        return undefined;
    }
    try {
        const stats = await handle.stat();
        if (!stats.isFile()) {
            return { reason: 'not a file' };
        }
        return stats.size > MAX_RECORD_SIZE ? { reason: 'too large' } : await handle.readFile('utf8');
    } finally {
        await handle.close();
    }
}

/** A JSON object; for anything else, why it is none. */
function parsed(text: string): { readonly data: Data } | { readonly reason: string } {
    try {
        const data: unknown = JSON.parse(text);
        return isObject(data) ? { data } : { reason: 'not a JSON object' };
    } catch (error) {
        return { reason: text === '' ? 'empty' : `bad JSON: ${(error as Error).message}` };
    }
}

/** The records of the local database: the files in `manifests/` (backends 3). */
export class LocalRecords implements StoredRecords {
    readonly #directories: BaseDirectories;
    readonly #database: Database;

    constructor({ directories, database }: LocalRecordsOptions) {
        this.#directories = directories;
        this.#database = database;
    }

    async *entries(signal: AbortSignal): AsyncIterable<StoredEntry> {
        const names = (await readdir(this.#directories.manifests)).sort();
        for (let start = 0; start < names.length; start += PARALLEL_READS) {
            signal.throwIfAborted();
            const some = names.slice(start, start + PARALLEL_READS);
            const read = await Promise.all(some.map((name) => this.#read(name)));
            yield* read.filter((entry) => entry !== undefined);
        }
    }

    async find(uuid: string): Promise<StoredEntry | undefined> {
        return this.#read(recordFileName(uuid));
    }

    async put(raw: RawImage, before: StoredEntry | undefined): Promise<void> {
        const { uuid } = raw;
        // The lock keeps others away, but who edits files by hand knows no locks.
        const now = await this.find(uuid);
        if (!isSame(now, before)) {
            throw new ChangedMeanwhile();
        }
        const found = await findRecord(this.#database, uuid);
        await (typeof found === 'object'
            ? this.#database.update(uuid, () => raw)
            : this.#database.create(raw));
    }

    /** A directory has no structure that could be wrong. */
    structureProblems(): Promise<readonly []> {
        return Promise.resolve([]);
    }

    close(): Promise<void> {
        return Promise.resolve();
    }

    async #read(file: string): Promise<StoredEntry | undefined> {
        const uuid = uuidOfFile(file);
        if (uuid === undefined) {
            return stray(file);
        }
        return readRecordFile(join(this.#directories.manifests, file), uuid, this.#directories.images);
    }
}

/**
 * A file that should hold the record of an image; `undefined`: there is none.
 *
 * @param images the directory that holds all image files, for what old records do not say of them
 * @throws the file system's error when it cannot be read
 */
export async function readRecordFile(
    path: string,
    uuid: string,
    images: string,
): Promise<StoredEntry | undefined> {
    const file = basename(path);
    const text = await content(path);
    if (typeof text !== 'string') {
        return text && { kind: 'unparsable', file, uuid, ...text };
    }
    const found = parsed(text);
    if ('reason' in found) {
        return { kind: 'unparsable', file, uuid, ...found };
    }
    const { data } = found;
    return { kind: 'record', uuid, data, text, current: await inCurrentForm(data, images, uuid) };
}

function stray(file: string): StrayEntry {
    return isTemporary(file)
        ? { kind: 'unfinished', file, reason: 'a record that was being written' }
        : { kind: 'foreign', file, reason: 'its name is not <uuid>.raw' };
}

function isSame(a: StoredEntry | undefined, b: StoredEntry | undefined): boolean {
    if (a?.kind === 'record' && b?.kind === 'record') {
        return a.text === b.text;
    }
    return a?.kind === b?.kind;
}
