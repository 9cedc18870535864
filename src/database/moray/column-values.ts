import { validationFailed } from '../../base/errors.js';
import { isObject } from '../../manifest/coerce.js';
import { tagsToSearch } from '../../manifest/tags.js';
import type { RawImage } from '../../manifest/types.js';
import { IMAGES } from './bucket.js';

type Value = Readonly<Record<string, unknown>>;

/** What array columns drop at both ends of an entry. */
const BLANK_ENDS = /^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g;

function trimmed(entry: string): string {
    return entry.replace(BLANK_ENDS, '');
}

function refuse(field: string, entry: string): never {
    const message = `invalid image "${field}" entry : ${entry}`;
    throw validationFailed(`invalid image data: ${field}`, [{ field, code: 'Invalid', message }]);
}

/**
 * A record as index columns can hold it: no text in them has a NUL, and entries of arrays have
 * neither blanks at their ends nor nothing else (backends 4.3).
 *
 * @throws ApiError 422 for what they have no place for
 */
export function forColumns(raw: RawImage): RawImage {
    const values = raw as unknown as Value;
    for (const field of Object.keys(IMAGES.index)) {
        const bad = [values[field]].flat().find((one) => typeof one === 'string' && one.includes('\0'));
        if (bad !== undefined) {
            refuse(field, bad as string);
        }
    }
    const { billing_tags: tags } = raw;
    if (tags === undefined) {
        return raw;
    }
    const blank = tags.find((tag) => trimmed(tag) === '');
    return blank === undefined ? { ...raw, billing_tags: tags.map(trimmed) } : refuse('billing_tags', blank);
}

/** Array columns turn an entry `NULL` into null. */
function restoreNulls({ billing_tags: tags }: Value): Value {
    return Array.isArray(tags) && tags.includes(null)
        ? { billing_tags: tags.map((tag: unknown) => tag ?? 'NULL') }
        : {};
}

/** Search strings whose blanks at the ends are gone get them back. */
function restoreBlanks({ tags, tagsObj }: Value): Value {
    if (!Array.isArray(tags) || !isObject(tagsObj)) {
        return {};
    }
    const whole = tagsToSearch(tagsObj);
    const isSame = whole.length === tags.length && whole.every((tag, i) => trimmed(tag) === tags[i]);
    return isSame ? { tags: whole } : {};
}

function parsedObject(entry: unknown): Value | undefined {
    if (typeof entry !== 'string' || !entry.startsWith('{')) {
        return undefined;
    }
    try {
        const value: unknown = JSON.parse(entry);
        return isObject(value) ? value : undefined;
    } catch {
        return undefined;
    }
}

/** Tags that were an object, as in old records, come back as one entry: its JSON. */
function restoreObject({ tags, tagsObj }: Value): Value {
    const isOld = Array.isArray(tags) && tags.length === 1 && !isObject(tagsObj);
    const object = isOld ? parsedObject(tags[0]) : undefined;
    return object === undefined ? {} : { tags: object };
}

/** What was put, as far as it can be told from what index columns made of it (backends 4.3). */
export function fromColumns(value: Value): Record<string, unknown> {
    return { ...value, ...restoreNulls(value), ...restoreBlanks(value), ...restoreObject(value) };
}
