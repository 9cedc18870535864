import type { FileCompression } from '../base/constants.js';
import { isObject } from './coerce.js';
import type { DraftRecord } from './rule.js';
import { tagsToSearch } from './tags.js';

/**
 * Finds out how a stored file is compressed, from its first bytes say; `undefined`: not known.
 * `index` is the file's place in the record's `files`.
 */
export type GuessCompression = (index: number) => FileCompression | undefined;

/** What files of the first servers were compressed with (operations 5.5, row 001). */
const FIRST_COMPRESSION: FileCompression = 'bzip2';

/** Fields that were kept as JSON text (operations 5.5, row 005). */
const JSON_TEXT_FIELDS = [
    'files',
    'requirements',
    'users',
    'traits',
    'icon',
    'error',
    'inherited_directories',
];

/** The object or array that `value` is the JSON text of; `undefined` if it is none. */
function fromJsonText(value: unknown): object | undefined {
    if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) {
        return undefined;
    }
    try {
        return JSON.parse(value) as object;
    } catch {
        return undefined;
    }
}

function without(record: DraftRecord, key: string): DraftRecord {
    return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}

function readJsonTexts(record: DraftRecord): DraftRecord {
    let read = record;
    for (const key of JSON_TEXT_FIELDS) {
        const parsed = fromJsonText(record[key]);
        if (parsed !== undefined) {
            read = { ...read, [key]: parsed };
        }
    }
    return read;
}

/** Row 002: `billingtag` was the name of `billing_tags`. */
function readBillingTag(record: DraftRecord): DraftRecord {
    if (!Object.hasOwn(record, 'billingtag') || Object.hasOwn(record, 'billing_tags')) {
        return record;
    }
    return { ...without(record, 'billingtag'), billing_tags: record.billingtag };
}

/** Rows 003, 004 and 007: `tags` was an object, then its JSON text beside `tag`, the search strings. */
function readTags(record: DraftRecord): DraftRecord {
    const parsed = fromJsonText(record.tags);
    const tags: unknown = parsed ?? record.tags;
    if (isObject(tags)) {
        const tagsObj = record.tagsObj ? record.tagsObj : tags;
        const search = isObject(tagsObj) ? tagsToSearch(tagsObj) : [];
        return { ...without(record, 'tag'), tags: search, tagsObj };
    }
    if (!tags && Object.hasOwn(record, 'tag')) {
        const { tag } = record;
        return { ...without(record, 'tag'), tags: typeof tag === 'string' ? [tag] : tag };
    }
    return parsed === undefined ? record : { ...record, tags };
}

/** Row 001: files had no `compression`. */
function readFiles(record: DraftRecord, guess: GuessCompression | undefined): DraftRecord {
    const { files } = record;
    const isOld = (file: unknown): file is DraftRecord => isObject(file) && !file.compression;
    if (!Array.isArray(files) || !files.some(isOld)) {
        return record;
    }
    const read = (files as readonly unknown[]).map((file, index) =>
        isOld(file) ? { ...file, compression: guess?.(index) ?? FIRST_COMPRESSION } : file,
    );
    return { ...record, files: read };
}

/**
 * Brings a stored record of any age into the form {@link validateRaw} knows (operations 5.5, "Ours on
 * read"). Other keys stay. Does not change `raw`, and returns it where it is new enough.
 */
export function readOldFormats(
    raw: Record<string, unknown>,
    guessCompression?: GuessCompression,
): Record<string, unknown> {
    return readFiles(readTags(readBillingTag(readJsonTexts(raw))), guessCompression);
}
