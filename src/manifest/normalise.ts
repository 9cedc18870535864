import { text, toBoolean, toNumber } from './coerce.js';
import type { EntryList } from './entry-list.js';
import { fieldNames } from './fields.js';
import type { DraftRecord, Leniency } from './rule.js';
import { findBadSearchEntry, searchToTags } from './tags.js';

const TEXT_FIELDS = fieldNames(({ coerced }) => coerced === 'text');
const LENIENT_TEXT_FIELDS = fieldNames(({ coerced }) => coerced === 'lenientText');
const BOOLEAN_FIELDS = fieldNames(({ coerced }) => coerced === 'boolean');
const NUMBER_FIELDS = fieldNames(({ coerced }) => coerced === 'number');

function isTextArray(value: unknown): value is readonly string[] {
    return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

/** The text an array or object passes the patterns as; other values as they are. */
function asText(value: unknown): unknown {
    return typeof value === 'object' && value !== null ? text(value) : value;
}

/** `[uuid]` where a UUID is meant passes its pattern: the record gets the text that passes. */
function normaliseTexts(draft: DraftRecord, leniency: Leniency): void {
    for (const field of TEXT_FIELDS) {
        if (typeof draft[field] === 'object') {
            draft[field] = asText(draft[field]);
        }
    }
    if (leniency === 'lenient') {
        for (const field of LENIENT_TEXT_FIELDS) {
            const value = draft[field];
            if (typeof value !== 'string' && value !== null && value !== undefined) {
                draft[field] = text(value);
            }
        }
    }
}

function normaliseLists(draft: DraftRecord): void {
    const { acl, billing_tags: billingTags } = draft;
    if (acl === undefined) {
        draft.acl = Object.freeze([]);
    } else if (typeof acl === 'string') {
        draft.acl = Object.freeze([acl]);
    } else if (Array.isArray(acl) && acl.some((account) => typeof account === 'object')) {
        draft.acl = Object.freeze(acl.map(asText));
    }
    if (typeof billingTags === 'string' && billingTags !== '') {
        draft.billing_tags = Object.freeze([billingTags]);
    }
}

/** Rebuilds `tagsObj` of records before 2015 from their search strings (manifest 3.1, step 3; M10). */
function normaliseTags(draft: DraftRecord, list: EntryList): void {
    const { tags: search, tagsObj } = draft;
    if (!search) {
        return;
    }
    if (!Array.isArray(search) || (!tagsObj && !isTextArray(search))) {
        list.invalid('tags', 'invalid raw image "tags": not an array of strings');
        return;
    }
    if (tagsObj) {
        return;
    }
    const entries = search as readonly string[];
    const bad = findBadSearchEntry(entries);
    if (bad === undefined) {
        draft.tagsObj = Object.freeze(searchToTags(entries));
    } else {
        list.invalid('tags', `invalid key=value, "${bad}", in tagsSearchArray, "${entries.join(',')}"`);
    }
}

/** Brings the accepted forms of fields into the one the rules look at (manifest 9); changes `draft`, with frozen values. */
export function normaliseBeforeRules(draft: DraftRecord, list: EntryList, leniency: Leniency): void {
    normaliseTexts(draft, leniency);
    normaliseTags(draft, list);
    normaliseLists(draft);
}

/** Brings accepted text forms of booleans and numbers into the stored form (M13); changes `draft`. */
export function normaliseAcceptedForms(draft: DraftRecord): void {
    for (const field of BOOLEAN_FIELDS) {
        if (typeof draft[field] === 'string') {
            draft[field] = toBoolean(draft[field]);
        }
    }
    for (const field of NUMBER_FIELDS) {
        if (draft[field] !== undefined && typeof draft[field] !== 'number') {
            draft[field] = toNumber(draft[field]);
        }
    }
}

/** Empty values that the rules skip: as good as none, and left out (manifest 3.1, steps 4 and 7). */
const SKIPPED_WHEN_EMPTY: ReadonlySet<string> = new Set(['billing_tags', 'tagsObj']);

function isLeftOut(key: string, value: unknown): boolean {
    return value === undefined || (!value && SKIPPED_WHEN_EMPTY.has(key));
}

/** The record without keys that hold nothing, in the same order. */
export function withoutEmptyKeys(draft: DraftRecord): DraftRecord {
    const keys = Object.keys(draft);
    if (!keys.some((key) => isLeftOut(key, draft[key]))) {
        return draft;
    }
    return Object.fromEntries(Object.entries(draft).filter(([key, value]) => !isLeftOut(key, value)));
}
