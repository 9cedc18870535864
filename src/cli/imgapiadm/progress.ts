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
}

const SCREEN_INTERVAL_MS = 500;
const LINE_INTERVAL_MS = 60_000;
const BAR_WIDTH = 20;

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
    const { images, allImages, bytes, allBytes, current } = facts;
    const [first, ...others] = current;
    return [
        `${images} of ${countText(allImages, 'image')}`,
        `${bytesText(bytes)} of ${bytesText(allBytes)}`,
        ...pace(facts),
        ...(first === undefined ? [] : [`at ${first}${others.length === 0 ? '' : ` +${others.length}`}`]),
    ].join(', ');
}

/** The line with a bar before it. */
export function progressBar(facts: ProgressFacts): string {
    const filled = Math.floor(share(facts) * BAR_WIDTH);
    return `[${'#'.repeat(filled).padEnd(BAR_WIDTH, '.')}] ${progressText(facts)}`;
}

/**
 * Shows how far some work is until it is stopped (operations 2.2): a bar on a screen, elsewhere a line
 * a minute.
 *
 * @param facts asked whenever something is shown
 * @returns stops it
 */
export function showProgress(terminal: Terminal, facts: () => ProgressFacts): () => void {
    if (!terminal.isScreen) {
        const timer = setInterval(() => terminal.note(progressText(facts())), LINE_INTERVAL_MS);
        return () => clearInterval(timer);
    }
    const draw = (): void => terminal.status(progressBar(facts()));
    const timer = setInterval(draw, SCREEN_INTERVAL_MS);
    draw();
    return () => {
        clearInterval(timer);
        terminal.status('');
    };
}
