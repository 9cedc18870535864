import type { FailureFacts } from '../failure-text.js';
import { countText, bytesText, durationText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';

/** What can become of an image: its words, and the name of its count in the summary. */
export type ResultTable<R extends string> = Readonly<
    Record<R | 'failed', { readonly text: string; readonly count: string }>
>;

/** What became of an image. */
export interface Outcome<R extends string> {
    readonly uuid: string;
    /** Absent: nothing is known of the image. */
    readonly image?: { readonly name: string; readonly version: string };
    readonly result: R | 'failed';
    /** That were worked on, or would be. */
    readonly bytes: number;
    /** Names of what was changed. */
    readonly changed?: readonly string[];
    /** Of a failure. */
    readonly error?: FailureFacts;
}

/** How a run ended as a whole. */
export interface Ending {
    readonly elapsedMs: number;
    /** Told to stop before all images were dealt with. */
    readonly interrupted: boolean;
    /** Why the run broke off. */
    readonly error?: FailureFacts;
}

/** The words of a report. */
export interface ReportWords<R extends string> {
    readonly results: ResultTable<R>;
    /** The result the run is for, and the one of a dry run: what the last sentence begins with. */
    readonly main: readonly [run: R, dryRun: R];
    /** What follows the number of images, e.g. `to manta`. */
    readonly where: string;
    /** First members of the summary. */
    readonly facts: Readonly<Record<string, unknown>>;
}

/** What a {@link Report} is made from. */
export interface ReportOptions<R extends string> extends ReportWords<R> {
    readonly terminal: Terminal;
    readonly json: boolean;
    readonly dryRun: boolean;
}

function reasonText(error: FailureFacts | undefined): string {
    if (error === undefined) {
        return '';
    }
    return `: ${error.message}${error.code === undefined ? '' : ` (${error.code})`}`;
}

/** Tells what becomes of images, a line each, and counts (operations 2.2). */
export class Report<R extends string> {
    readonly #options: ReportOptions<R>;
    readonly #counts = new Map<string, number>();
    #images = 0;
    #bytes = 0;

    constructor(options: ReportOptions<R>) {
        this.#options = options;
    }

    /** Images dealt with so far. */
    get images(): number {
        return this.#images;
    }

    /** Bytes worked on so far, or that would be. */
    get bytes(): number {
        return this.#bytes;
    }

    get failures(): number {
        return this.#count('failed');
    }

    add(outcome: Outcome<R>): void {
        const { uuid, image, result, bytes, changed, error } = outcome;
        this.#counts.set(result, this.#count(result) + 1);
        this.#images += 1;
        this.#bytes += bytes;
        if (!this.#options.json) {
            this.#options.terminal.line(this.#line(outcome));
            return;
        }
        const fields = {
            uuid,
            ...image,
            result,
            bytes,
            ...(changed === undefined ? {} : { changed }),
            ...(error === undefined ? {} : { error }),
        };
        this.#options.terminal.line(JSON.stringify(fields));
    }

    /** The last line. */
    summarize(ending: Ending): void {
        const { terminal, json } = this.#options;
        terminal.line(json ? JSON.stringify({ summary: this.#summary(ending) }) : this.#sentence(ending));
    }

    #line({ uuid, image, result, bytes, changed, error }: Outcome<R>): string {
        const name = image === undefined ? '' : ` ${image.name}@${image.version}`;
        const fields = changed === undefined ? '' : ` ${changed.join(', ')}`;
        const size = bytes === 0 ? '' : `, ${countText(bytes, 'byte')}`;
        return `${uuid}${name}: ${this.#options.results[result].text}${fields}${size}${reasonText(error)}`;
    }

    #count(result: string): number {
        return this.#counts.get(result) ?? 0;
    }

    get #results(): readonly (R | 'failed')[] {
        return Object.keys(this.#options.results) as (R | 'failed')[];
    }

    #summary({ elapsedMs, interrupted, error }: Ending): Readonly<Record<string, unknown>> {
        const { results, dryRun, facts } = this.#options;
        const shown = this.#results.filter(
            (name) => results[name].count.startsWith('would') === dryRun || this.#counts.has(name),
        );
        return {
            ...facts,
            dryRun,
            complete: !interrupted && error === undefined,
            interrupted,
            images: this.#images,
            bytes: this.#bytes,
            elapsedMs: Math.round(elapsedMs),
            failed: this.failures,
            ...Object.fromEntries(shown.map((name) => [results[name].count, this.#count(name)])),
            ...(error === undefined ? {} : { error }),
        };
    }

    #sentence({ elapsedMs, interrupted, error }: Ending): string {
        const { results, main, where, dryRun } = this.#options;
        const lead = main[dryRun ? 1 : 0];
        const others = this.#results
            .filter((name) => name !== lead && this.#counts.has(name))
            .map((name) => `${this.#count(name)} ${results[name].text}`);
        const size = `${countText(this.#count(lead), 'image')} (${bytesText(this.#bytes)})`;
        const parts = [`${results[lead].text} ${size} ${where} in ${durationText(elapsedMs)}`, ...others];
        const broken = error === undefined ? '' : `; broken off${reasonText(error)}`;
        return `${parts.join(', ')}${interrupted ? '; interrupted' : broken}`;
    }
}
