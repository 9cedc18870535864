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
import { readOldFormats } from '../../../manifest/old-formats.js';
import type { RawImage } from '../../../manifest/types.js';
import {
    ChangedMeanwhile,
    type StoredEntry,
    type StoredRecord,
    type StoredRecords,
    type StructureProblem,
} from './stored-records.js';

/** A record of a row, and which version of it. */
interface MorayRecord extends StoredRecord {
    readonly etag: string;
}

function entryOf({ key, value, etag }: Row): MorayRecord | Exclude<StoredEntry, StoredRecord> {
    if (!isUuid(key)) {
        return { kind: 'foreign', file: key, reason: 'its key is no uuid' };
    }
    const data = fromColumns(value);
    const text = JSON.stringify(data, null, 2);
    return { kind: 'record', uuid: key, data, text, current: readOldFormats(data), etag };
}

/** The records in Moray: the rows of its bucket (backends 4). */
export class MorayRecords implements StoredRecords {
    readonly #moray: MorayConnection;

    /** @param moray ended by {@link close} */
    constructor(moray: MorayConnection) {
        this.#moray = moray;
        moray.connect();
    }

    async *entries(signal: AbortSignal): AsyncIterable<StoredEntry> {
        for await (const row of allRows(this.#moray, undefined, signal)) {
            yield entryOf(row);
        }
    }

    async find(uuid: string): Promise<StoredEntry | undefined> {
        const row = await findRow(this.#moray, uuid);
        return row && entryOf(row);
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
