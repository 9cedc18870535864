import { isObject } from '../../manifest/coerce.js';
import { provenanceOf } from '../../manifest/provenance.js';
import type { RawImage } from '../../manifest/types.js';
import type { Filter } from '../query.js';

/** A field records can be looked up by: which keys a record is filed under, and which a filter asks for. */
export interface IndexField {
    readonly field: keyof Filter;
    /** Keys of a record, each once. */
    readonly keysOf: (raw: RawImage) => readonly string[];
    /** Keys that every match must be filed under; none when the filter cannot be looked up. */
    readonly wantedBy: (filter: Filter) => readonly string[];
    /** Text that the key of every match must contain; absent when the filter asks for no such thing. */
    readonly partWantedBy?: (filter: Filter) => string | undefined;
}

const NO_KEYS: readonly string[] = [];

function textField(field: 'owner' | 'state' | 'origin' | 'os' | 'name' | 'version' | 'type'): IndexField {
    return {
        field,
        keysOf: (raw) => (typeof raw[field] === 'string' ? [raw[field]] : NO_KEYS),
        wantedBy: (filter) => (filter[field] === undefined ? NO_KEYS : [filter[field]]),
    };
}

/** A text field that a filter may ask a part of: `~part`. */
function containedTextField(field: 'name' | 'version'): IndexField {
    const plain = textField(field);
    return {
        ...plain,
        wantedBy: (filter) => (filter[field]?.startsWith('~') === true ? NO_KEYS : plain.wantedBy(filter)),
        partWantedBy: (filter) =>
            filter[field]?.startsWith('~') === true ? filter[field].slice(1) : undefined,
    };
}

/** The type, where `!type` asks for all others. */
const typeField: IndexField = {
    ...textField('type'),
    wantedBy: ({ type }) => (type === undefined || type.startsWith('!') ? NO_KEYS : [type]),
};

function booleanField(field: 'activated' | 'disabled' | 'public'): IndexField {
    return {
        field,
        keysOf: (raw) => [String(raw[field])],
        wantedBy: (filter) => (filter[field] === undefined ? NO_KEYS : [String(filter[field])]),
    };
}

function withoutRepeats(keys: readonly string[]): readonly string[] {
    return keys.length < 2 ? keys : [...new Set(keys)];
}

function listField(field: 'acl' | 'billing_tags' | 'channels'): IndexField {
    return {
        field,
        keysOf: (raw) => withoutRepeats(raw[field] ?? NO_KEYS),
        wantedBy: (filter) => filter[field] ?? NO_KEYS,
    };
}

/** Tags are filed under each `key=value` and, for "has the tag `key`", under each `key=`. */
const tagsField: IndexField = {
    field: 'tags',
    keysOf: (raw) =>
        withoutRepeats([
            ...(raw.tags ?? NO_KEYS),
            ...Object.keys(isObject(raw.tagsObj) ? raw.tagsObj : {}).map((key) => `${key}=`),
        ]),
    wantedBy: (filter) => filter.tags ?? NO_KEYS,
};

const sourceImageField: IndexField = {
    field: 'source_image',
    keysOf: (raw) => {
        const provenance = provenanceOf(raw);
        return provenance === undefined ? NO_KEYS : [provenance.source_image];
    },
    wantedBy: (filter) => (filter.source_image === undefined ? NO_KEYS : [filter.source_image]),
};

/** Every field of a filter that has an index (backends 3); the others are tested record by record. */
export const INDEX_FIELDS: readonly IndexField[] = [
    textField('owner'),
    containedTextField('name'),
    containedTextField('version'),
    textField('origin'),
    textField('state'),
    typeField,
    textField('os'),
    booleanField('activated'),
    booleanField('disabled'),
    booleanField('public'),
    listField('acl'),
    tagsField,
    listField('billing_tags'),
    listField('channels'),
    sourceImageField,
];
