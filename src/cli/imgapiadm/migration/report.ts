import type { FailureFacts } from '../failure-text.js';
import { countText, bytesText, durationText } from '../quantities.js';
import type { Terminal } from '../terminal.js';

/** What became of an image; each has its words and its count in the summary. */
const RESULTS = {
    moved: { text: 'moved', count: 'moved' },
    'icon-checked': { text: 'already there, icon made sure of', count: 'iconChecked' },
    'already-there': { text: 'already there', count: 'alreadyThere' },
    'no-files': { text: 'no files', count: 'noFiles' },
    gone: { text: 'deleted meanwhile', count: 'gone' },
    failed: { text: 'failed', count: 'failed' },
    'would-move': { text: 'would be moved', count: 'wouldMove' },
    'would-check-icon': { text: 'already there, icon would be made sure of', count: 'wouldCheckIcon' },
} as const;

/** One of the results. */
export type Result = keyof typeof RESULTS;
type CountName = (typeof RESULTS)[Result]['count'];

/** What became of an image. */
export interface Outcome {
    readonly uuid: string;
    /** Absent: nothing is known of the image. */
    readonly image?: { readonly name: string; readonly version: string };
    readonly result: Result;
    /** That were moved, or would be. */
    readonly bytes: number;
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

/** What a {@link Report} is made from. */
export interface ReportOptions {
    readonly terminal: Terminal;
    readonly target: string;
    readonly json: boolean;
    readonly dryRun: boolean;
}

function reasonText(error: FailureFacts | undefined): string {
    if (error === undefined) {
        return '';
    }
    return `: ${error.message}${error.code === undefined ? '' : ` (${error.code})`}`;
}

function lineOf({ uuid, image, result, bytes, error }: Outcome): string {
    const name = image === undefined ? '' : ` ${image.name}@${image.version}`;
    const size = bytes === 0 ? '' : `, ${countText(bytes, 'byte')}`;
    return `${uuid}${name}: ${RESULTS[result].text}${size}${reasonText(error)}`;
}

/** Tells what becomes of images, a line each, and counts (operations 2.2). */
export class Report {
    readonly #options: ReportOptions;
    readonly #counts = new Map<CountName, number>();
    #images = 0;
    #bytes = 0;

    constructor(options: ReportOptions) {
        this.#options = options;
    }

    /** Images dealt with so far. */
    get images(): number {
        return this.#images;
    }

    /** Bytes moved so far, or that would be. */
    get bytes(): number {
        return this.#bytes;
    }

    get failures(): number {
        return this.#count('failed');
    }

    add(outcome: Outcome): void {
        const { uuid, image, result, bytes, error } = outcome;
        const { count } = RESULTS[result];
        this.#counts.set(count, this.#count(count) + 1);
        this.#images += 1;
        this.#bytes += bytes;
        if (!this.#options.json) {
            this.#options.terminal.line(lineOf(outcome));
            return;
        }
        const fields = { uuid, ...image, result, bytes, ...(error === undefined ? {} : { error }) };
        this.#options.terminal.line(JSON.stringify(fields));
    }

    /** The last line. */
    summarize(ending: Ending): void {
        const { terminal, json } = this.#options;
        terminal.line(json ? JSON.stringify({ summary: this.#summary(ending) }) : this.#sentence(ending));
    }

    #count(name: CountName): number {
        return this.#counts.get(name) ?? 0;
    }

    #summary({ elapsedMs, interrupted, error }: Ending): Readonly<Record<string, unknown>> {
        const { target, dryRun } = this.#options;
        const names = Object.values(RESULTS)
            .map(({ count }) => count)
            .filter((name) => name.startsWith('would') === dryRun || this.#counts.has(name));
        return {
            to: target,
            dryRun,
            complete: !interrupted && error === undefined,
            interrupted,
            images: this.#images,
            bytes: this.#bytes,
            elapsedMs: Math.round(elapsedMs),
            failed: this.failures,
            ...Object.fromEntries(names.map((name) => [name, this.#count(name)])),
            ...(error === undefined ? {} : { error }),
        };
    }

    #sentence({ elapsedMs, interrupted, error }: Ending): string {
        const { target, dryRun } = this.#options;
        const [done, main] = dryRun ? (['would move', 'wouldMove'] as const) : (['moved', 'moved'] as const);
        const others = Object.values(RESULTS)
            .filter(({ count }) => count !== main && this.#counts.has(count))
            .map(({ text, count }) => `${this.#count(count)} ${text}`);
        const size = `${countText(this.#count(main), 'image')} (${bytesText(this.#bytes)})`;
        const parts = [`${done} ${size} to ${target} in ${durationText(elapsedMs)}`, ...others];
        const broken = error === undefined ? '' : `; broken off${reasonText(error)}`;
        return `${parts.join(', ')}${interrupted ? '; interrupted' : broken}`;
    }
}
