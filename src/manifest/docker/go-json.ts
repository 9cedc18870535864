import type { JsonValue } from '../types.js';

/** Characters that Go's encoder escapes and JavaScript's does not. */
const ESCAPED_RE = /[<>&\u2028\u2029]/g;

/**
 * Compact JSON as Go's encoder writes it by default, in which Docker writes the configs of images: with
 * `<`, `>`, `&`, U+2028 and U+2029 escaped (jobs-and-imports 5.6). These can stand in texts only, so that the
 * value is the same.
 */
export function goJson(value: JsonValue): string {
    return JSON.stringify(value).replace(
        ESCAPED_RE,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
}
