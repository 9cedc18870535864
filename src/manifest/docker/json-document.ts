import { nestingLevels } from '../freeze.js';
import { isObject } from '../coerce.js';
import type { JsonObject } from '../types.js';

/** Deepest nesting of a document; far more than any has, and far less than what overflows the stack. */
const MAX_NESTING = 256;

/** Most of a text that a message repeats, characters. */
const MAX_SHOWN = 1000;

/** A text as a message shows it: cut where it is very long. */
export function shownText(text: string): string {
    return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}

/**
 * Reads an object from JSON that somebody else has written.
 *
 * @throws Error whose message says in a few words what is wrong
 */
export function parseJsonObject(json: Uint8Array | string): JsonObject {
    // Digests are computed from bytes and messages carry texts: only UTF-8 is the same as both.
    const text = typeof json === 'string' ? json : decodeUtf8(json);
    const value: unknown = JSON.parse(text);
    if (!isObject(value)) {
        throw new Error('not an object');
    }
    if (nestingLevels(value, MAX_NESTING + 1) > MAX_NESTING) {
        throw new Error('nested too deeply');
    }
    return value as JsonObject;
}

function decodeUtf8(bytes: Uint8Array): string {
    try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
        throw new Error('not UTF-8', { cause });
    }
}
