import { Writable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import { bytesText, countText, durationText } from '../../base/quantities.js';
import type { Terminal } from './terminal.js';

/** How far some work is. */
export interface ProgressFacts {
    readonly images: number;
    readonly allImages: number;
    readonly bytes: number;
    readonly allBytes: number;
    readonly elapsedMs: number;
    /** What is worked on now. */
    readonly current: readonly string[];
    /** What is counted, if not images. */
    readonly noun?: string;
}

const SCREEN_INTERVAL_MS = 500;
const LINE_INTERVAL_MS = 60_000;
const BAR = { format: '[{bar}] {text}', full: '#', empty: '.', long: 20, short: 10 } as const;
/** What surrounds the bar. */
const FRAME_COLUMNS = '[] '.length;
/** As much of a UUID as is shown where there is little room. */
const SHORT_UUID = 8;
const ESCAPE = '\u001b';

function share({ images, allImages, bytes, allBytes }: ProgressFacts): number {
    const [done, all] = allBytes > 0 ? [bytes, allBytes] : [images, allImages];
    return all === 0 ? 1 : Math.min(1, done / all);
}

/** Rate and remaining time; nothing before the first bytes are done. */
function pace({ bytes, allBytes, elapsedMs }: ProgressFacts): string[] {
    if (bytes === 0 || elapsedMs <= 0) {
        return [];
    }
    const perMs = bytes / elapsedMs;
    return [`${bytesText(perMs * 1000)}/s`, `ETA ${durationText(Math.max(0, allBytes - bytes) / perMs)}`];
}

/** What a progress line says. */
export function progressText(facts: ProgressFacts): string {
    const { images, allImages, bytes, allBytes, current, noun = 'image' } = facts;
    const [first, ...others] = current;
    return [
        `${images} of ${countText(allImages, noun)}`,
        // Work on records has none.
        ...(allBytes === 0 ? [] : [`${bytesText(bytes)} of ${bytesText(allBytes)}`]),
        ...pace(facts),
        ...(first === undefined ? [] : [`at ${first}${others.length === 0 ? '' : ` +${others.length}`}`]),
    ].join(', ');
}

/** The same, without words, and with the beginnings of names only. */
function shortText(facts: ProgressFacts): string {
    const { images, allImages, bytes, allBytes, current } = facts;
    const [first, ...others] = current.map((name) => name.slice(0, SHORT_UUID));
    return [
        `${images}/${allImages}`,
        ...(allBytes === 0 ? [] : [`${bytesText(bytes)}/${bytesText(allBytes)}`]),
        ...pace(facts),
        ...(first === undefined ? [] : [`${first}${others.length === 0 ? '' : ` +${others.length}`}`]),
    ].join(', ');
}

/** What is drawn, by how much room there is. */
interface Layout {
    readonly text: string;
    readonly barsize: number;
}

function layoutFor(facts: ProgressFacts, columns: number): Layout {
    const text = progressText(facts);
    return FRAME_COLUMNS + BAR.long + text.length <= columns
        ? { text, barsize: BAR.long }
        : { text: shortText(facts), barsize: BAR.short };
}

/** Takes what the bar draws to the line at the bottom of the screen, which makes way for other lines. */
class BottomLine extends Writable {
    readonly isTTY = true;
    readonly #terminal: Terminal;

    constructor(terminal: Terminal) {
        super({ decodeStrings: false });
        this.#terminal = terminal;
    }

    override _write(text: string, _encoding: BufferEncoding, done: () => void): void {
        // The cursor is the terminal's business.
        if (!text.startsWith(ESCAPE)) {
            this.#terminal.status(text);
        }
        done();
    }
}

function showBar(terminal: Terminal, facts: () => ProgressFacts): () => void {
    let layout = layoutFor(facts(), terminal.columns);
    const bar = new SingleBar({
        format: BAR.format,
        stream: new BottomLine(terminal),
        clearOnComplete: true,
        formatBar: (progress) =>
            BAR.full.repeat(Math.round(progress * layout.barsize)).padEnd(layout.barsize, BAR.empty),
    });
    const draw = (): void => {
        const now = facts();
        layout = layoutFor(now, terminal.columns);
        bar.update(share(now), { text: layout.text });
    };
    bar.start(1, share(facts()), { text: layout.text });
    const timer = setInterval(draw, SCREEN_INTERVAL_MS);
    const unfollow = terminal.onResize(draw);
    return () => {
        unfollow();
        clearInterval(timer);
        bar.stop();
        terminal.status('');
    };
}

/**
 * Shows how far some work is until it is stopped (operations 2.2): a bar on a screen, elsewhere a line
 * a minute.
 *
 * @param facts asked whenever something is shown
 * @returns stops it
 */
export function showProgress(terminal: Terminal, facts: () => ProgressFacts): () => void {
    if (terminal.isScreen) {
        return showBar(terminal, facts);
    }
    const timer = setInterval(() => terminal.note(progressText(facts())), LINE_INTERVAL_MS);
    return () => clearInterval(timer);
}

/** What is counted where there are no bytes to be told of. */
export interface CountSource {
    readonly count: () => number;
    /** How many there are; `undefined`: nobody knows. */
    readonly all: () => number | undefined;
    readonly current?: () => string | undefined;
}

/** {@link showProgress} of work on records, with `--quiet` none. @returns stops it */
export function showCount(
    terminal: Terminal,
    quiet: boolean,
    { count, all, current }: CountSource,
): () => void {
    if (quiet) {
        return () => undefined;
    }
    const started = performance.now();
    return showProgress(terminal, () => {
        const at = current?.();
        return {
            images: count(),
            allImages: Math.max(count(), all() ?? 0),
            bytes: 0,
            allBytes: 0,
            elapsedMs: performance.now() - started,
            current: at === undefined ? [] : [at],
        };
    });
}
