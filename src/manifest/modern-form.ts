import { isObject, toBoolean } from './coerce.js';
import { fieldNames } from './fields.js';
import { tagsToSearch } from './tags.js';
import type { RawImage } from './types.js';

/** What records still carry from the directory that kept the first ones (operations 5.5, row 007). */
const DIRECTORY_KEYS: ReadonlySet<string> = new Set(['dn', 'controls', 'objectclass', 'tag']);

const BOOLEANS = fieldNames(({ coerced }) => coerced === 'boolean');
const NUMBERS = fieldNames(({ coerced }) => coerced === 'number');

function toNumber(value: unknown): unknown {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : NaN;
    return Number.isNaN(number) ? value : number;
}

function modernValue(key: string, value: unknown): unknown {
    if (BOOLEANS.some((name) => name === key)) {
        return toBoolean(value) ?? value;
    }
    return NUMBERS.some((name) => name === key) ? toNumber(value) : value;
}

/**
 * A record in the form that is written today, of one that was read (operations 5.5, "normalize"): real
 * booleans and numbers, search strings that say what `tagsObj` says, nothing left of the directory.
 * Whatever else is in it stays. Lists and the oldest forms have been brought up to date by the reading.
 */
export function toModernForm(raw: RawImage): RawImage {
    const entries = Object.entries(raw).filter(([key]) => !DIRECTORY_KEYS.has(key));
    const record = Object.fromEntries(entries.map(([key, value]) => [key, modernValue(key, value)]));
    const { tagsObj } = raw;
    return {
        ...record,
        ...(isObject(tagsObj) ? { tags: tagsToSearch(tagsObj) } : {}),
    } as unknown as RawImage;
}
