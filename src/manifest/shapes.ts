import { Ajv, type ValidateFunction } from 'ajv';
import { VALID_FILE_COMPRESSIONS } from '../base/constants.js';
import { fieldNamed, type FieldName } from './fields.js';
import { BOOT_ROMS } from './limits.js';
import type { JsonObject } from './types.js';

/** Tells whether a value has a shape. */
export type Shape = (value: unknown) => boolean;

/*
 * The schema of schemas takes longer to compile than all of these together, and what it would say of
 * them never changes: a test checks them.
 */
const ajv = new Ajv({
    strict: true,
    allowUnionTypes: true,
    formats: { uri: true },
    inlineRefs: false,
    meta: false,
    validateSchema: false,
});

/** Compiled when first asked: most runs meet only some of the shapes. */
function shape(schema: JsonObject): Shape {
    let validate: ValidateFunction | undefined;
    return (value) => (validate ??= ajv.compile(schema))(value);
}

/** The shape the field table gives a field, or an entry of it, `part` naming the sub-schema. */
function shapeOf(field: FieldName, part?: 'items' | 'additionalProperties'): Shape {
    const schema = fieldNamed(field)?.schema ?? {};
    return shape((part === undefined ? schema : schema[part]) as JsonObject);
}

/*
 * Plain tests of one value, where JSON Schema says exactly what the rule says. Rules that convert
 * before they compare, depend on other fields or count entries are code: see `rules-*.ts`. Lengths
 * that decide between two messages are code too, because JSON Schema counts code points and the
 * manifest UTF-16 units.
 */
export const isName = shapeOf('name');
export const isVersion = shapeOf('version');
export const isState = shapeOf('state');
export const isUser = shapeOf('users', 'items');
export const isTrait = shapeOf('traits', 'additionalProperties');
export const isFlag = shape({ enum: [true, false, 'true', 'false'] });
export const isCompression = shape({ enum: VALID_FILE_COMPRESSIONS });
export const isBootRom = shape({ enum: BOOT_ROMS });
export const isInteger = shape({ type: 'integer' });
export const isNetwork = shape({
    type: 'object',
    properties: { name: {}, description: {} },
    required: ['name', 'description'],
    additionalProperties: false,
});
