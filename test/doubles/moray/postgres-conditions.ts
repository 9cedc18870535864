import { isArrayType } from './columns.js';
import type { Bucket, Condition, Selection } from './store.js';

/** A name in SQL, whatever it is made of. */
export function identifier(name: string): string {
    return `"${name.replaceAll('"', '""')}"`;
}

/** Makes a condition SQL; its values go to `values` and are named by their place there. */
export function conditionSql(bucket: Bucket, condition: Condition, values: unknown[]): string {
    const place = (value: string): string => `$${values.push(value)}`;
    switch (condition.op) {
        case 'all':
        case 'any': {
            const joint = condition.op === 'all' ? ' AND ' : ' OR ';
            return `(${condition.parts.map((part) => conditionSql(bucket, part, values)).join(joint)})`;
        }
        case 'not':
            return `(NOT ${conditionSql(bucket, condition.part, values)})`;
        case 'present':
            return `(${identifier(condition.column)} IS NOT NULL)`;
        default: {
            const column = identifier(condition.column);
            // A null column fails the test rather than leaving it open, so that NOT makes it pass.
            return `(${leafSql(bucket, condition, column, place)} AND ${column} IS NOT NULL)`;
        }
    }
}

function leafSql(
    bucket: Bucket,
    condition: Exclude<Condition, { op: 'all' | 'any' | 'not' | 'present' }>,
    column: string,
    place: (value: string) => string,
): string {
    switch (condition.op) {
        case 'like':
            return `${column} LIKE ${place(condition.pattern)}`;
        case 'ilike':
            return `${column} ILIKE ${place(condition.pattern)}`;
        case 'caseless=':
            return `lower(${column}) = lower(${place(condition.value)})`;
        default: {
            const definition = bucket.index[condition.column];
            if (definition !== undefined && isArrayType(definition.type)) {
                return `${place(condition.value)} = ANY(${column})`;
            }
            return `${column} ${condition.op} ${place(condition.value)}`;
        }
    }
}

/** What follows FROM for a selection; order among equals is left to PostgreSQL, as Moray does. */
export function selectionSql(bucket: Bucket, selection: Selection, values: unknown[]): string {
    const { where, sort, limit, offset } = selection;
    const order = sort.map(
        ({ column, descending }) => `${identifier(column)} ${descending ? 'DESC' : 'ASC'}`,
    );
    return [
        `WHERE ${conditionSql(bucket, where, values)}`,
        ...(order.length > 0 ? [`ORDER BY ${order.join(', ')}`] : []),
        ...(limit === undefined ? [] : [`LIMIT ${limit}`]),
        `OFFSET ${offset}`,
    ].join(' ');
}
