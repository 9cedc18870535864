import { UUID_RE } from '../../base/uuid.js';
import { FIELDS, type ManifestField } from '../../manifest/fields.js';
import type { Table } from './markdown-table.js';

/** The parts of JSON Schema that the field table uses. */
interface Schema {
    readonly type?: string | readonly string[];
    readonly items?: Schema;
    readonly enum?: readonly string[];
    readonly pattern?: string;
    readonly format?: string;
    readonly maxLength?: number;
}

function typeOf({ type, items }: Schema): string {
    const name = [type].flat().join(' or ');
    return items?.type === undefined ? name : `${name} of ${[items.type].flat().join(' or ')}s`;
}

function isUuid({ pattern }: Schema): boolean {
    return pattern === UUID_RE.source;
}

function constraintOf(schema: Schema): string {
    const { items = {}, pattern } = schema;
    const longest = schema.maxLength ?? items.maxLength;
    const isUrl = schema.format === 'uri';
    return [
        ...(isUuid(schema) || isUuid(items) ? ['UUID, lower case'] : []),
        ...(schema.enum === undefined ? [] : [schema.enum.map((word) => `\`${word}\``).join(' ')]),
        ...(isUrl ? ['http or https URL'] : []),
        ...(longest === undefined ? [] : [`at most ${longest} characters`]),
        ...(pattern === undefined || isUrl || isUuid(schema) ? [] : [`\`${pattern}\``]),
    ].join('; ');
}

const REQUIRED = {
    always: 'yes',
    full: 'yes',
    activated: 'once activated',
    zvol: 'for `zvol`, and only there',
    channels: 'set by the server',
} as const;

const INPUT = {
    head: 'create, import',
    truthy: 'create, import',
    defined: 'create, import',
    zvol: 'create, import',
    import: 'import',
    ignored: 'ignored',
} as const;

const EMITTED = {
    always: 'always',
    defined: 'if set',
    truthy: 'if set',
    known: 'if known',
    filled: 'if not empty',
    notPublicMode: 'if not empty, not in mode `public`',
    failed: 'if `state` is `failed`',
    version2: 'API version 2',
} as const;

function givenAt({ input, required }: ManifestField): string {
    // A list of channels may be sent, but the server puts the selected channel in its place.
    return input === undefined ? '' : required?.when === 'channels' ? 'ignored' : INPUT[input.taken];
}

function updatedBy({ update }: ManifestField): string {
    if (update === undefined) {
        return '';
    }
    if (update.by === 'anyone') {
        return 'owner';
    }
    return update.unactivatedOnly === true ? 'operator, before activation' : 'operator';
}

/** Every field of the manifest. */
export function fieldsTable(): Table {
    return {
        columns: [
            'Field',
            'Type',
            'Constraint',
            'Required',
            'Given at',
            'Updated by',
            'In answers',
            'Meaning',
        ],
        rows: (FIELDS as readonly ManifestField[]).map((field) => [
            `\`${field.name}\``,
            typeOf(field.schema),
            constraintOf(field.schema),
            field.required === undefined ? '' : REQUIRED[field.required.when],
            givenAt(field),
            updatedBy(field),
            field.emitted === undefined ? 'never' : EMITTED[field.emitted.when],
            field.summary,
        ]),
    };
}
