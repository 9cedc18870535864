import { messageOf } from './errors.js';

/** How the parser shows what is around the place: what is cut off before it, and the text. */
const CONTEXT = /, (\.\.\.)?"([\s\S]*)"(?:\.\.\.)? is not valid JSON$/;
/** Characters that the parser shows before the place, where it cuts off others. */
const SHOWN_BEFORE = 10;
/** Older parsers say no line. */
const POSITION = /at position (\d+)$/;

function placeOf(text: string, position: number): string {
    const lines = text.slice(0, position).split('\n');
    return `(line ${lines.length} column ${(lines.at(-1) ?? '').length + 1})`;
}

/**
 * Why a text is no JSON, as the parser says it, and where; without what it shows of the text, which may be a
 * secret (operations 1.3).
 *
 * @param error what `JSON.parse` threw
 */
export function jsonProblem(text: string, error: unknown): string {
    const message = messageOf(error);
    const [position] = POSITION.exec(message)?.slice(1) ?? [];
    if (position !== undefined) {
        return `${message} ${placeOf(text, Number(position))}`;
    }
    const shown = CONTEXT.exec(message);
    if (shown === null) {
        return message;
    }
    const [, cut, context = ''] = shown;
    const start = text.indexOf(context);
    const isKnown = cut !== undefined && start !== -1 && start === text.lastIndexOf(context);
    const place = isKnown ? ` ${placeOf(text, start + SHOWN_BEFORE)}` : '';
    return `${message.slice(0, shown.index)} in JSON${place}`;
}
