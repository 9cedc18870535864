import { forEachParallel, forEachParallelToEnd } from '../../../base/parallel.js';
import { IMAGES, type Bucket } from '../../../database/moray/bucket.js';
import { fromColumns } from '../../../database/moray/column-values.js';
import type { MorayConnection } from '../../../database/moray/connection.js';
import { isConflict } from '../../../database/moray/failures.js';
import {
    addColumns,
    allRows,
    findRow,
    missingColumns,
    putRow,
    readBucket,
} from '../../../database/moray/raw-rows.js';
import { failureText } from '../failure-text.js';
import type { Data } from '../records/stored-records.js';
import { RowCopy, type CopiedRow } from './row-copy.js';

/** Rows put back at the same time: a real Moray takes tens of milliseconds for each. */
const PARALLEL = 8;
/** Tries when somebody writes the same row at the same time. */
const MAX_TRIES = 5;

/** What became of a row: put back, as it should be already, gone since, or why it could not be put. */
export type PutBack = 'put' | 'there' | 'gone' | { readonly failure: string };

/** What {@link ColumnStep} is made from. */
export interface ColumnStepOptions {
    readonly moray: MorayConnection;
    /** Where the copy lies. */
    readonly run: string;
    readonly now: number;
    readonly signal: AbortSignal;
    /** Told of each row. */
    readonly onRow: (key: string, outcome: PutBack) => void;
}

/** What there is to do. */
export interface ColumnPlan {
    readonly columns: readonly string[];
    /** That an earlier run has left, to go on from. */
    readonly copy?: RowCopy;
    /** That an earlier run has left before it added anything: nothing is hidden yet, but rows may have changed. */
    readonly outdated?: RowCopy;
}

function only(columns: readonly string[]): Bucket {
    const index = Object.entries(IMAGES.index).filter(([name]) => columns.includes(name));
    return { name: IMAGES.name, index: Object.fromEntries(index) };
}

/**
 * Adds the index columns that the bucket of images lacks (backends 4.1). From then on Moray hides their fields in
 * every row until that is put again, so all rows are copied before, and put back behind it. The copy goes when
 * every row is back: whenever this is broken off, the next run goes on from the copy.
 */
export class ColumnStep {
    readonly #options: ColumnStepOptions;

    constructor(options: ColumnStepOptions) {
        this.#options = options;
    }

    /** What there is to do; `undefined`: nothing. @throws Error when Moray or the copy cannot be read */
    async plan(): Promise<ColumnPlan | undefined> {
        const copy = await RowCopy.find(this.#options.run);
        const bucket = await readBucket(this.#options.moray);
        const columns = missingColumns(bucket);
        const lacking = copy?.columns.filter((column) => columns.includes(column)) ?? [];
        if (copy !== undefined && lacking.length === 0) {
            await copy.verify();
            return { columns: copy.columns, copy };
        }
        if (copy !== undefined && lacking.length < copy.columns.length) {
            throw new Error(
                `${copy.path} was made to add ${copy.columns.join(', ')}, and somebody has added some of them`,
            );
        }
        return columns.length === 0
            ? undefined
            : { columns, ...(copy === undefined ? {} : { outdated: copy }) };
    }

    /**
     * Does it. The copy stays when a row could not be put, or the signal was aborted before the end.
     *
     * @returns whether everything is done
     * @throws Error when Moray or the copy cannot be used
     */
    async execute(plan: ColumnPlan): Promise<boolean> {
        const { signal } = this.#options;
        const copy = plan.copy ?? (await this.#begin(plan));
        let isWhole = true;
        await forEachParallelToEnd(copy.rows(), PARALLEL, async (row) => {
            if (signal.aborted) {
                isWhole = false;
                return;
            }
            const outcome = await this.#putBack(row, copy.columns);
            isWhole &&= typeof outcome === 'string';
            this.#options.onRow(row.key, outcome);
        });
        if (isWhole) {
            await copy.remove();
        }
        return isWhole;
    }

    /** Copies all rows, then adds the columns. @throws Error when a new column could not take them */
    async #begin({ columns, outdated }: ColumnPlan): Promise<RowCopy> {
        const { moray, run, now, signal } = this.#options;
        await this.#requireUnique(columns);
        await outdated?.remove();
        const copy = await RowCopy.write(
            run,
            { bucket: IMAGES.name, columns },
            allRows(moray, IMAGES, signal),
            now,
        );
        signal.throwIfAborted();
        await addColumns(moray, only(columns));
        return copy;
    }

    /** @throws Error when rows share what must be unique */
    async #requireUnique(columns: readonly string[]): Promise<void> {
        const unique = columns.filter((column) => IMAGES.index[column]?.unique === true);
        const seen = new Map<string, string>();
        const { moray, signal } = this.#options;
        await forEachParallel(unique.length === 0 ? [] : allRows(moray, IMAGES, signal), 1, async (row) => {
            for (const column of unique) {
                const value = row.value[column];
                const key = JSON.stringify([column, value]);
                const other = seen.get(key);
                if (value !== undefined && other !== undefined) {
                    throw new Error(
                        `${row.key} and ${other} have the same ${column}, which must be unique: nothing was changed`,
                    );
                }
                seen.set(key, row.key);
            }
            return Promise.resolve();
        });
    }

    async #putBack(row: CopiedRow, columns: readonly string[]): Promise<PutBack> {
        try {
            const outcome = await this.#put(row.key, fromColumns(row.value), row.etag);
            return outcome === 'changed' ? await this.#complete(row, columns) : outcome;
        } catch (error) {
            return { failure: failureText(error) };
        }
    }

    /**
     * Gives a row that somebody has put since it was copied what it lacks: they could not see those fields, so
     * they cannot have meant to remove them.
     */
    async #complete({ key, value }: CopiedRow, columns: readonly string[]): Promise<PutBack> {
        const copied = fromColumns(value);
        for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
            const now = await findRow(this.#options.moray, key);
            if (now === undefined) {
                return 'gone';
            }
            const present: Data = fromColumns(now.value);
            const lost = columns.filter(
                (column) => !Object.hasOwn(present, column) && Object.hasOwn(copied, column),
            );
            if (lost.length === 0) {
                return 'there';
            }
            const restored = {
                ...present,
                ...Object.fromEntries(lost.map((column) => [column, copied[column]])),
            };
            if ((await this.#put(key, restored, now.etag)) !== 'changed') {
                return 'put';
            }
        }
        throw new Error('somebody else keeps changing it: is a server running?');
    }

    /** Puts a value in the place of a version, if that is still there. */
    async #put(key: string, value: Data, etag: string): Promise<'put' | 'changed'> {
        try {
            await putRow(this.#options.moray, { key, value, etag });
            return 'put';
        } catch (error) {
            if (isConflict(error)) {
                return 'changed';
            }
            throw error;
        }
    }
}
