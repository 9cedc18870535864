import { isUuid } from '../../../base/uuid.js';
import { countText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';
import type { StoredRecord } from './stored-records.js';

/** What can become of a record. */
export interface ResultWords {
    /** In a line and, after a number, in the last one. */
    readonly text: string;
    /** Name of its count in the summary. */
    readonly count: string;
    /** Whether it is a reason for exit status 1. */
    readonly isBad?: true;
    /** Whether it is only counted: nobody wants a line for each. */
    readonly isSilent?: true;
    /** Whether it comes beside another result for the same record. */
    readonly isExtra?: true;
}

/** What became of a record. */
export interface RecordOutcome<R extends string> {
    /** The uuid of an image, or the name of a file that is no record's. */
    readonly place: string;
    readonly image?: { readonly name: string; readonly version: string };
    readonly result: R;
    /** Names of what was changed. */
    readonly changed?: readonly string[];
    readonly reason?: string;
}

/** What a {@link RecordReport} is made from. */
export interface RecordReportOptions<R extends string> {
    readonly terminal: Terminal;
    readonly json: boolean;
    readonly dryRun: boolean;
    readonly results: Readonly<Record<R, ResultWords>>;
}

/** Name and version of a record, whatever they are. */
export function titleOf({
    current,
}: Pick<StoredRecord, 'current'>): NonNullable<RecordOutcome<string>['image']> {
    const { name, version } = current;
    return {
        name: typeof name === 'string' ? name : '?',
        version: typeof version === 'string' ? version : '?',
    };
}

/** Tells what becomes of records, a line each, and counts (operations 2.2). */
export class RecordReport<R extends string> {
    readonly #options: RecordReportOptions<R>;
    readonly #counts = new Map<R, number>();

    constructor(options: RecordReportOptions<R>) {
        this.#options = options;
    }

    /** Records dealt with so far. */
    get records(): number {
        const { results } = this.#options;
        return [...this.#counts]
            .filter(([result]) => results[result].isExtra !== true)
            .reduce((sum, [, count]) => sum + count, 0);
    }

    /** Whether not all went well. */
    get isBad(): boolean {
        return [...this.#counts.keys()].some((result) => this.#options.results[result].isBad === true);
    }

    count(result: R): number {
        return this.#counts.get(result) ?? 0;
    }

    add(outcome: RecordOutcome<R>): void {
        const { place, image, result, changed = [], reason } = outcome;
        const { terminal, json, results } = this.#options;
        this.#counts.set(result, this.count(result) + 1);
        if (results[result].isSilent === true) {
            return;
        }
        if (json) {
            const fields = {
                ...(isUuid(place) ? { uuid: place } : { file: place }),
                ...image,
                result,
                ...(changed.length === 0 ? {} : { changed }),
                ...(reason === undefined ? {} : { reason }),
            };
            terminal.line(JSON.stringify(fields));
            return;
        }
        const name = image === undefined ? '' : ` ${image.name}@${image.version}`;
        const more = [
            ...(changed.length === 0 ? [] : [changed.join(', ')]),
            ...(reason === undefined ? [] : [reason]),
        ];
        terminal.line([`${place}${name}: ${results[result].text}`, ...more].join(': '));
    }

    /** The last line. */
    summarize({ interrupted }: { readonly interrupted: boolean }): void {
        const { terminal, json, results, dryRun } = this.#options;
        const names = Object.keys(results) as R[];
        if (json) {
            const counts = Object.fromEntries(names.map((name) => [results[name].count, this.count(name)]));
            terminal.line(
                JSON.stringify({ summary: { dryRun, interrupted, records: this.records, ...counts } }),
            );
            return;
        }
        const parts = names
            .filter((name) => this.count(name) > 0)
            .map((name) => `${this.count(name)} ${results[name].text}`);
        const sentence = [countText(this.records, 'record'), ...parts].join(', ');
        terminal.line(`${sentence}${interrupted ? '; interrupted' : ''}`);
    }
}
