import { isObject } from './coerce.js';
import type { DraftRecord } from './rule.js';
import type { JsonObject, JsonValue, RawImage } from './types.js';

/** Longest text that can be searched for by value, UTF-16 units (manifest 10). */
const MAX_SEARCHABLE = 100;

function searchable(value: unknown): string {
    switch (typeof value) {
        case 'string':
            return value.length <= MAX_SEARCHABLE ? value : '';
        case 'number':
        case 'boolean':
            return String(value);
        default:
            return '';
    }
}

/** The search strings `key=value` of a tags object, in key order (manifest 10). */
export function tagsToSearch(tags: Readonly<Record<string, unknown>>): string[] {
    return Object.keys(tags).map((key) => `${key}=${searchable(tags[key])}`);
}

/** The first entry that is not of the form `key=value`; `undefined` if all are. */
export function findBadSearchEntry(search: readonly string[]): string | undefined {
    return search.find((entry) => !entry.includes('='));
}

/**
 * The tags object of a record that has search strings only (before 2015): each entry is split at its
 * first `=`, all values are texts (manifest 9). Entries without `=` are for {@link findBadSearchEntry}.
 */
export function searchToTags(search: readonly string[]): JsonObject {
    return Object.fromEntries(
        search.map((entry): [string, string] => {
            const at = entry.indexOf('=');
            return at === -1 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
        }),
    );
}

/** Whether the image has a tag of this name, whatever its value: the query `tag.K=` (manifest 10). */
export function hasTag(raw: Pick<RawImage, 'tagsObj'>, key: string): boolean {
    return isObject(raw.tagsObj) && Object.hasOwn(raw.tagsObj, key);
}

/** Sets the tags of a record in both forms; what is no object is left for the rules to refuse (M6). */
export function setTags(draft: DraftRecord, tags: JsonValue): void {
    if (isObject(tags)) {
        draft.tags = tagsToSearch(tags);
    }
    draft.tagsObj = tags;
}
