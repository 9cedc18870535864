import { inCurrentForm } from '../../../database/local/record-reader.js';
import { fromColumns, forColumns } from '../../../database/moray/column-values.js';
import type { MorayConnection } from '../../../database/moray/connection.js';
import { isConflict } from '../../../database/moray/failures.js';
import {
    allRows,
    findRow,
    missingColumns,
    oddColumns,
    putRow,
    readBucket,
} from '../../../database/moray/raw-rows.js';
import type { Row } from '../../../database/moray/rows.js';
import { isUuid } from '../../../base/uuid.js';
import type { RawImage } from '../../../manifest/types.js';
import {
    ChangedMeanwhile,
    type StoredEntry,
    type StoredRecord,
    type StoredRecords,
    type StrayEntry,
    type StructureProblem,
} from './stored-records.js';

/** A record of a row, and which version of it. */
interface MorayRecord extends StoredRecord {
    readonly etag: string;
}

async function entryOf({ key, value, etag }: Row, images: string): Promise<MorayRecord | StrayEntry> {
    if (!isUuid(key)) {
        return { kind: 'foreign', file: key, reason: 'its key is no uuid' };
    }
    const data = fromColumns(value);
    const text = JSON.stringify(data, null, 2);
    return { kind: 'record', uuid: key, data, text, current: await inCurrentForm(data, images, key), etag };
}

/** The records in Moray: the rows of its bucket (backends 4). */
export class MorayRecords implements StoredRecords {
    readonly #moray: MorayConnection;
    readonly #images: string;

    /**
     * @param moray ended by {@link close}
     * @param images the directory that holds all image files, for what old records do not say of them
     */
    constructor(moray: MorayConnection, images: string) {
        this.#moray = moray;
        this.#images = images;
        moray.connect();
    }

    async *entries(signal: AbortSignal): AsyncIterable<StoredEntry> {
        for await (const row of allRows(this.#moray, undefined, signal)) {
            yield await entryOf(row, this.#images);
        }
    }

    async find(uuid: string): Promise<StoredEntry | undefined> {
        const row = await findRow(this.#moray, uuid);
        return row && entryOf(row, this.#images);
    }

    async put(raw: RawImage, before: StoredEntry | undefined): Promise<void> {
        const etag = before === undefined ? null : (before as MorayRecord).etag;
        try {
            await putRow(this.#moray, { key: raw.uuid, value: forColumns(raw), etag });
        } catch (error) {
            throw isConflict(error) ? new ChangedMeanwhile() : error;
        }
    }

    async structureProblems(): Promise<readonly StructureProblem[]> {
        const bucket = await readBucket(this.#moray);
        const missing = missingColumns(bucket);
        const odd = oddColumns(bucket);
        return [
            ...(missing.length === 0
                ? []
                : [
                      {
                          severity: 'warn' as const,
                          message: `the bucket lacks index columns: ${missing.join(', ')}; "imgapiadm reindex" adds them`,
                      },
                  ]),
            ...(odd.length === 0
                ? []
                : [
                      {
                          severity: 'error' as const,
                          message: `index columns of another type than servers search by: ${odd.join(', ')}`,
                      },
                  ]),
        ];
    }

    close(): Promise<void> {
        return this.#moray.close();
    }
}
