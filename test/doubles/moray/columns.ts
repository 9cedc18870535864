/** What an index column can hold of one value. */
export const SCALAR_TYPES = ['string', 'number', 'boolean', 'ip', 'subnet', 'mac', 'uuid'] as const;
export type ScalarType = (typeof SCALAR_TYPES)[number];

/** Type of an index as the bucket configuration writes it. */
export type IndexType = ScalarType | `[${ScalarType}]`;

/** One entry of a bucket's `index`. */
export interface IndexDefinition {
    readonly type: IndexType;
    readonly unique?: boolean;
}

/** One value of a column that is not an array. */
export type ScalarValue = string | number | boolean | null;

/** What a column holds; an entry of an array may be null. */
export type ColumnValue = ScalarValue | readonly ScalarValue[];

/** Fields that every row has, whatever the bucket's indexes; filters and sorts may name them. */
export const ROW_FIELDS: Readonly<Record<string, IndexType>> = {
    _id: 'number',
    _key: 'string',
    _etag: 'string',
    _mtime: 'number',
};

/** Whether it is an array type. */
export function isArrayType(type: IndexType): boolean {
    return type.startsWith('[');
}

/** Type of the entries of an array type; a scalar type itself. */
export function scalarType(type: IndexType): ScalarType {
    return (isArrayType(type) ? type.slice(1, -1) : type) as ScalarType;
}

function scalarText(value: unknown): string {
    if (typeof value === 'string') return value;
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

/**
 * Value of a field as text for PostgreSQL. Array entries are escaped but not quoted, so PostgreSQL
 * trims them, takes `NULL` for null, refuses an empty entry beside others and `{}` is what a single
 * empty entry becomes (backends 4.3).
 */
export function columnLiteral(type: IndexType, value: unknown): string | null {
    if (value === undefined || value === null) return null;
    if (!isArrayType(type)) return scalarText(value);
    const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
    return `{${entries.map((entry) => scalarText(entry).replace(/[\\"{},]/g, '\\$&')).join(',')}}`;
}

/** A scalar of this type from PostgreSQL's text form. */
export function scalarFromText(type: ScalarType, text: string): ScalarValue {
    if (type === 'number') return Number(text);
    if (type === 'boolean') return text === 'true' || text === 't';
    return text;
}
