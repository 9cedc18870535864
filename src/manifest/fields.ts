import { UUID_RE } from '../base/uuid.js';
import {
    MAX_BILLING_TAG_LENGTH,
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_URL_LENGTH,
    MAX_VERSION_LENGTH,
    NAME_RE,
    OSES,
    PUBLISHED_AT_RE,
    STATES,
    TYPES,
    VERSION_RE,
    WEB_URL_RE,
} from './limits.js';
import type { JsonObject } from './types.js';

/** Everything the server and its documentation know about one field of the manifest (manifest 1). */
export interface ManifestField {
    readonly name: string;
    /** One line for the API reference. */
    readonly summary: string;
    /** The constraint as JSON Schema: what a client may count on in a document. */
    readonly schema: JsonObject;
    /** When the field must be present (manifest 2), and its place among the required ones (manifest 3.2). */
    readonly required?: {
        /** `always`: placeholders too. `full`: all but placeholders. The rest: full, and only if so. */
        readonly when: 'always' | 'full' | 'activated' | 'zvol' | 'channels';
        readonly rank: number;
    };
    /** Who may change it with UpdateImage; absent: nobody. `rank`: order of checks (http-api 3.15). */
    readonly update?:
        | { readonly by: 'anyone' }
        | { readonly by: 'operator'; readonly rank: number; readonly unactivatedOnly?: true };
    /** Tools that make an image from a VM copy the field from the VM's image. */
    readonly inherited?: true;
    /**
     * What becomes of the field in a body that creates an image (manifest 5); absent: refused.
     * `head`: stands at the top of the record. `truthy`, `defined`: copied if so. `zvol`: copied
     * if the type is `zvol`, else refused. `import`: taken by imports only. `ignored`: dropped.
     */
    readonly input?: {
        readonly taken: 'head' | 'truthy' | 'defined' | 'zvol' | 'import' | 'ignored';
        /** Place in the record behind the head. */
        readonly rank?: number;
    };
    /**
     * Other forms that pass (manifest 3.6, M13; 9): `boolean`, `number`: as text. `text`: what turns
     * into a good text. `lenientText`: the same, in stored records only.
     */
    readonly coerced?: 'boolean' | 'number' | 'text' | 'lenientText';
    /** When the field is in a document, and its place there (manifest 7.1); absent: never. */
    readonly emitted?: {
        readonly rank: number;
        readonly when:
            'always' | 'defined' | 'truthy' | 'known' | 'filled' | 'notPublicMode' | 'failed' | 'version2';
    };
}

const UUID = { type: 'string', pattern: UUID_RE.source } as const;
const TEXT = { type: 'string' } as const;
const FLAG = { type: 'boolean' } as const;
const TEXTS = { type: 'array', items: TEXT } as const;
const WEB_URL = {
    type: 'string',
    format: 'uri',
    pattern: WEB_URL_RE.source,
    maxLength: MAX_URL_LENGTH,
} as const;

const ANYONE = { by: 'anyone' } as const;
const HEAD = { taken: 'head' } as const;
const IGNORED = { taken: 'ignored' } as const;

/** In the order of the list in manifest 1, which is the order of checks behind the required fields. */
const TABLE = [
    {
        name: 'v',
        summary: 'Version of the manifest format, currently 2.',
        schema: { type: 'integer', minimum: 0 },
        required: { when: 'always', rank: 1 },
        input: HEAD,
        coerced: 'number',
        emitted: { rank: 1, when: 'always' },
    },
    {
        name: 'uuid',
        summary: 'Unique identifier of the image.',
        schema: UUID,
        required: { when: 'always', rank: 2 },
        update: { by: 'operator', rank: 7, unactivatedOnly: true },
        input: { taken: 'import' },
        coerced: 'text',
        emitted: { rank: 2, when: 'always' },
    },
    {
        name: 'urn',
        summary: 'Name in the oldest naming scheme; only imported images have one.',
        schema: TEXT,
        input: { taken: 'import' },
        emitted: { rank: 18, when: 'truthy' },
    },
    {
        name: 'owner',
        summary: 'UUID of the account that owns the image.',
        schema: UUID,
        required: { when: 'full', rank: 3 },
        update: ANYONE,
        input: HEAD,
        coerced: 'text',
        emitted: { rank: 3, when: 'always' },
    },
    {
        name: 'name',
        summary: 'Short name for people.',
        schema: { type: 'string', minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_RE.source },
        required: { when: 'always', rank: 4 },
        update: ANYONE,
        input: HEAD,
        coerced: 'lenientText',
        emitted: { rank: 4, when: 'always' },
    },
    {
        name: 'version',
        summary: 'Version of the image.',
        schema: { type: 'string', minLength: 1, maxLength: MAX_VERSION_LENGTH, pattern: VERSION_RE.source },
        required: { when: 'always', rank: 5 },
        update: ANYONE,
        input: HEAD,
        coerced: 'lenientText',
        emitted: { rank: 5, when: 'always' },
    },
    {
        name: 'description',
        summary: 'What the image is.',
        schema: { type: 'string', maxLength: MAX_DESCRIPTION_LENGTH },
        update: ANYONE,
        input: { taken: 'truthy', rank: 1 },
        emitted: { rank: 14, when: 'truthy' },
    },
    {
        name: 'homepage',
        summary: 'Web page with more about the image.',
        schema: WEB_URL,
        update: ANYONE,
        input: { taken: 'truthy', rank: 2 },
        emitted: { rank: 15, when: 'truthy' },
    },
    {
        name: 'eula',
        summary: 'Web page with the licence of the image.',
        schema: WEB_URL,
        update: ANYONE,
        input: { taken: 'truthy', rank: 3 },
        emitted: { rank: 16, when: 'truthy' },
    },
    {
        name: 'disabled',
        summary: 'Whether new machines may not be made from the image.',
        schema: FLAG,
        required: { when: 'full', rank: 6 },
        input: HEAD,
        coerced: 'boolean',
        emitted: { rank: 7, when: 'always' },
    },
    {
        name: 'activated',
        summary: 'Whether the image has been activated; only seen through `state`.',
        schema: FLAG,
        required: { when: 'full', rank: 7 },
        coerced: 'boolean',
    },
    {
        name: 'published_at',
        summary: 'When the image was first activated.',
        schema: { type: 'string', pattern: PUBLISHED_AT_RE.source },
        required: { when: 'activated', rank: 8 },
        input: { taken: 'import' },
        coerced: 'text',
        emitted: { rank: 9, when: 'truthy' },
    },
    {
        name: 'state',
        summary: 'Where the image is in its life.',
        schema: { type: 'string', enum: STATES },
        required: { when: 'full', rank: 10 },
        update: { by: 'operator', rank: 1 },
        input: IGNORED,
        emitted: { rank: 6, when: 'always' },
    },
    {
        name: 'public',
        summary: 'Whether every account may use the image.',
        schema: FLAG,
        required: { when: 'full', rank: 9 },
        update: ANYONE,
        input: HEAD,
        coerced: 'boolean',
        emitted: { rank: 8, when: 'always' },
    },
    {
        name: 'type',
        summary: 'What kind of file the image is.',
        schema: { type: 'string', enum: TYPES },
        required: { when: 'always', rank: 11 },
        inherited: true,
        input: HEAD,
        coerced: 'text',
        emitted: { rank: 10, when: 'known' },
    },
    {
        name: 'os',
        summary: 'Family of the operating system inside.',
        schema: { type: 'string', enum: OSES },
        required: { when: 'always', rank: 12 },
        update: ANYONE,
        inherited: true,
        input: HEAD,
        coerced: 'text',
        emitted: { rank: 11, when: 'known' },
    },
    {
        name: 'origin',
        summary: 'UUID of the image that this one is an increment of.',
        schema: UUID,
        update: { by: 'operator', rank: 6, unactivatedOnly: true },
        input: { taken: 'defined', rank: 12 },
        coerced: 'text',
        emitted: { rank: 23, when: 'truthy' },
    },
    {
        name: 'error',
        summary: 'Why making the image failed: `message`, maybe `code` and `stack`.',
        schema: { type: 'object' },
        update: { by: 'operator', rank: 2 },
        input: { taken: 'defined', rank: 4 },
        emitted: { rank: 31, when: 'failed' },
    },
    {
        name: 'files',
        summary: 'The files of the image: one at most, two for type `lxd`.',
        schema: {
            type: 'array',
            maxItems: 2,
            items: { type: 'object', required: ['sha1', 'size', 'compression'] },
        },
        required: { when: 'activated', rank: 13 },
        update: { by: 'operator', rank: 5, unactivatedOnly: true },
        input: IGNORED,
        emitted: { rank: 12, when: 'always' },
    },
    {
        name: 'icon',
        summary: 'True if the image has an icon.',
        schema: FLAG,
        input: IGNORED,
        emitted: { rank: 17, when: 'truthy' },
    },
    {
        name: 'acl',
        summary: 'UUIDs of accounts the image is shared with.',
        schema: { type: 'array', items: UUID },
        update: ANYONE,
        input: HEAD,
        emitted: { rank: 13, when: 'filled' },
    },
    {
        name: 'requirements',
        summary: 'What a machine made from the image needs.',
        schema: { type: 'object' },
        update: ANYONE,
        inherited: true,
        input: { taken: 'defined', rank: 5 },
        emitted: { rank: 19, when: 'truthy' },
    },
    {
        name: 'users',
        summary: 'Accounts inside the image that get a password.',
        schema: {
            type: 'array',
            items: {
                type: 'object',
                properties: { name: {} },
                required: ['name'],
                additionalProperties: false,
            },
        },
        update: ANYONE,
        inherited: true,
        input: { taken: 'defined', rank: 6 },
        emitted: { rank: 20, when: 'truthy' },
    },
    {
        name: 'billing_tags',
        summary: 'Labels for billing.',
        schema: { type: 'array', items: { type: 'string', maxLength: MAX_BILLING_TAG_LENGTH } },
        update: { by: 'operator', rank: 3 },
        inherited: true,
        input: { taken: 'defined', rank: 9 },
        emitted: { rank: 29, when: 'notPublicMode' },
    },
    {
        name: 'traits',
        summary: 'Traits a compute node must have.',
        schema: { type: 'object', additionalProperties: { type: ['string', 'boolean', 'array'] } },
        update: { by: 'operator', rank: 4 },
        inherited: true,
        input: { taken: 'defined', rank: 7 },
        emitted: { rank: 30, when: 'notPublicMode' },
    },
    {
        name: 'tags',
        summary: 'Free keys and values to search by.',
        schema: { type: 'object' },
        update: ANYONE,
        input: { taken: 'defined', rank: 8 },
        emitted: { rank: 28, when: 'truthy' },
    },
    {
        name: 'generate_passwords',
        summary: 'Whether passwords are made for `users`; absent means true.',
        schema: FLAG,
        update: ANYONE,
        inherited: true,
        input: { taken: 'defined', rank: 10 },
        coerced: 'boolean',
        emitted: { rank: 21, when: 'defined' },
    },
    {
        name: 'inherited_directories',
        summary: 'Directories a zone takes from the compute node.',
        schema: TEXTS,
        update: ANYONE,
        inherited: true,
        input: { taken: 'defined', rank: 11 },
        emitted: { rank: 22, when: 'truthy' },
    },
    {
        name: 'nic_driver',
        summary: 'Driver of network interfaces.',
        schema: TEXT,
        required: { when: 'zvol', rank: 14 },
        update: ANYONE,
        inherited: true,
        input: { taken: 'zvol', rank: 14 },
        emitted: { rank: 24, when: 'truthy' },
    },
    {
        name: 'disk_driver',
        summary: 'Driver of disks.',
        schema: TEXT,
        required: { when: 'zvol', rank: 15 },
        update: ANYONE,
        inherited: true,
        input: { taken: 'zvol', rank: 15 },
        emitted: { rank: 25, when: 'truthy' },
    },
    {
        name: 'cpu_type',
        summary: 'Processor model shown to the machine.',
        schema: TEXT,
        required: { when: 'zvol', rank: 16 },
        update: ANYONE,
        inherited: true,
        input: { taken: 'zvol', rank: 16 },
        emitted: { rank: 26, when: 'truthy' },
    },
    {
        name: 'image_size',
        summary: 'Size of the disk, MiB.',
        schema: { type: 'integer' },
        required: { when: 'zvol', rank: 17 },
        update: ANYONE,
        inherited: true,
        input: { taken: 'zvol', rank: 17 },
        coerced: 'number',
        emitted: { rank: 27, when: 'truthy' },
    },
    {
        name: 'channels',
        summary: 'Channels the image is in, on servers that have channels.',
        schema: TEXTS,
        required: { when: 'channels', rank: 18 },
        update: ANYONE,
        input: { taken: 'defined', rank: 13 },
        emitted: { rank: 32, when: 'version2' },
    },
] as const satisfies readonly ManifestField[];

/** Name of a field of the manifest. */
export type FieldName = (typeof TABLE)[number]['name'];

/** A row of the table under its exact name. */
export type NamedField = ManifestField & { readonly name: FieldName };

/** The field table (manifest 1). */
export const FIELDS: readonly NamedField[] = TABLE;

const BY_NAME: ReadonlyMap<string, NamedField> = new Map(FIELDS.map((field) => [field.name, field]));

/** The field of this name; `undefined` for unknown keys, inherited ones included. */
export function fieldNamed(name: string): NamedField | undefined {
    return BY_NAME.get(name);
}

/** Names of the fields for which `test` holds, in table order. */
export function fieldNames(test: (field: NamedField) => boolean): readonly FieldName[] {
    return FIELDS.filter(test).map(({ name }) => name);
}

/** The fields that `rankOf` gives a rank, by that rank. */
export function fieldsByRank(rankOf: (field: NamedField) => number | undefined): readonly NamedField[] {
    return FIELDS.filter((field) => rankOf(field) !== undefined).sort(
        (a, b) => (rankOf(a) ?? 0) - (rankOf(b) ?? 0),
    );
}
