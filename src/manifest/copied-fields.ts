import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, JsonValue } from './types.js';

/**
 * Fields of an image that follow their source when it is copied again (jobs-and-imports 8.4). All others
 * stay as they are here: who owns it, where it is published, what it is based on, its files.
 */
const COPIED_FIELDS = [
    'name',
    'version',
    'description',
    'homepage',
    'eula',
    'public',
    'os',
    'acl',
    'requirements',
    'users',
    'billing_tags',
    'traits',
    'tags',
    'generate_passwords',
    'inherited_directories',
    'nic_driver',
    'disk_driver',
    'cpu_type',
    'image_size',
] as const;

/** Lists whose order says nothing. */
const SETS: ReadonlySet<string> = new Set(['acl', 'billing_tags']);

/** No entries are shown as no list, and no tags as none, by some servers. */
function isEmpty(value: JsonValue | undefined): boolean {
    return (
        value === undefined ||
        value === null ||
        (typeof value === 'object' && Object.keys(value).length === 0)
    );
}

function comparable(field: string, value: JsonValue | undefined): unknown {
    if (isEmpty(value)) {
        return undefined;
    }
    return SETS.has(field) && Array.isArray(value) ? [...new Set(value)].sort() : value;
}

/** Whether a field has the same value in two manifests as they are sent. */
export function sameValue(field: string, a: JsonValue | undefined, b: JsonValue | undefined): boolean {
    return isDeepStrictEqual(comparable(field, a), comparable(field, b));
}

/**
 * What has to change for an image to be as its source is: the source's values by field, `null` for those it
 * does not have. Both manifests as they are sent (version 2).
 */
export function changedFields(here: JsonObject, source: JsonObject): JsonObject {
    const changed = COPIED_FIELDS.filter((field) => !sameValue(field, here[field], source[field]));
    return Object.fromEntries(changed.map((field) => [field, source[field] ?? null]));
}
