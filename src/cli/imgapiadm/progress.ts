import { Writable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import { bytesText, countText, durationText } from './quantities.js';
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
const BAR = { barsize: 20, barCompleteChar: '#', barIncompleteChar: '.', format: '[{bar}] {text}' } as const;
/** What the bar takes of a line. */
const BAR_COLUMNS = BAR.barsize + '[] '.length;
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

/** The same, with what is worked on cut short if the line would be longer than there is room for. */
function fittingText(facts: ProgressFacts, columns: number): string {
    const text = progressText(facts);
    return text.length <= columns
        ? text
        : progressText({ ...facts, current: facts.current.map((name) => name.slice(0, SHORT_UUID)) });
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
    const bar = new SingleBar({ ...BAR, stream: new BottomLine(terminal), clearOnComplete: true });
    const draw = (): void => {
        const now = facts();
        bar.update(share(now), { text: fittingText(now, terminal.columns - BAR_COLUMNS) });
    };
    bar.start(1, 0, { text: '' });
    draw();
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
