import { createReadStream } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
    FILE_MODE,
    makeDirectory,
    removeDurably,
    removeIfPresent,
    syncDirectory,
    temporarySibling,
} from '../../../base/durable-files.js';
import { OutgoingError } from '../../../base/http-errors.js';
import { jsonLines } from '../../../base/json-lines.js';
import { SyncedFile } from '../../../base/synced-file.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Row } from '../../../database/moray/rows.js';
import { isObject } from '../../../manifest/coerce.js';

const NAME = /^reindex-[0-9TZ]+\.jsonl$/;
/** Longest line, bytes: several times the largest record that a request can make. */
const MAX_LINE = 67_108_864;

/** A row as it was before columns were added. */
export type CopiedRow = Pick<Row, 'key' | 'value' | 'etag'>;

/** Why rows were copied. */
interface Header {
    readonly bucket: string;
    /** Columns that are being added. */
    readonly columns: readonly string[];
}

function isHeader(line: unknown): line is Header {
    return (
        isObject(line) &&
        typeof line['bucket'] === 'string' &&
        Array.isArray(line['columns']) &&
        line['columns'].every((column) => typeof column === 'string')
    );
}

function isRow(line: unknown): line is CopiedRow {
    return (
        isObject(line) &&
        typeof line['key'] === 'string' &&
        typeof line['etag'] === 'string' &&
        isObject(line['value'])
    );
}

/**
 * All rows of a bucket as they were before columns were added, in a file `run/reindex-<stamp>.jsonl`: what Moray
 * drops of a row meanwhile is nowhere else. It has its name only when it is whole and on stable storage.
 */
export class RowCopy {
    readonly path: string;
    readonly bucket: string;
    readonly columns: readonly string[];

    private constructor(path: string, { bucket, columns }: Header) {
        this.path = path;
        this.bucket = bucket;
        this.columns = columns;
    }

    /**
     * The copy that an earlier run has left; `undefined`: there is none.
     *
     * @throws Error when there is one that cannot be read, or more than one
     */
    static async find(run: string): Promise<RowCopy | undefined> {
        const names = ((await unlessMissing(readdir(run))) ?? []).filter((name) => NAME.test(name));
        const [name, ...others] = names;
        if (name === undefined) {
            return undefined;
        }
        if (others.length > 0) {
            throw new Error(`${run} has several copies of rows: ${names.join(', ')}; only one can be right`);
        }
        const path = join(run, name);
        for await (const line of linesOf(path)) {
            if (isHeader(line)) {
                return new RowCopy(path, line);
            }
            break;
        }
        throw new Error(`${path} is no copy of rows`);
    }

    /** Copies rows, durably. @throws what `rows` throws, or the file system's error: there is no copy then */
    static async write(run: string, header: Header, rows: AsyncIterable<Row>, now: number): Promise<RowCopy> {
        await makeDirectory(run);
        const path = join(run, `reindex-${timeStamp(now)}.jsonl`);
        const temporary = temporarySibling(path);
        const file = new SyncedFile(await open(temporary, 'wx', FILE_MODE));
        try {
            let count = 0;
            await file.write(lineOf(header));
            for await (const { key, value, etag } of rows) {
                await file.write(lineOf({ key, value, etag }));
                count += 1;
            }
            await file.write(lineOf({ rows: count }));
            await file.finish();
            await rename(temporary, path);
        } catch (error) {
            await file.close();
            await removeIfPresent(temporary);
            throw error;
        }
        await syncDirectory(dirname(path));
        return new RowCopy(path, header);
    }

    /** The rows. @throws Error when the file is not as it was written */
    async *rows(): AsyncGenerator<CopiedRow, void, undefined> {
        let count = -1;
        for await (const line of linesOf(this.path)) {
            count += 1;
            if (count === 0) {
                continue;
            }
            if (isRow(line)) {
                yield line;
            } else if (isObject(line) && line['rows'] === count - 1) {
                return;
            } else {
                break;
            }
        }
        throw new Error(`${this.path} is damaged behind line ${count}`);
    }

    /** @throws Error when the file is not as it was written */
    async verify(): Promise<void> {
        for await (const { key } of this.rows()) {
            if (key === '') {
                throw new Error(`${this.path} has a row without a key`);
            }
        }
    }

    /** Removes it: everything is where it belongs. */
    async remove(): Promise<void> {
        await removeDurably(this.path);
    }
}

function lineOf(value: object): Buffer {
    return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** @throws Error when a line is not as it was written */
async function* linesOf(path: string): AsyncGenerator<unknown, void, undefined> {
    try {
        yield* jsonLines(createReadStream(path), MAX_LINE);
    } catch (error) {
        throw error instanceof OutgoingError ? new Error(`${path} is damaged: ${error.message}`) : error;
    }
}
