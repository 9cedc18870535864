import { isIPv4 } from 'node:net';
import { isArrayType, ROW_FIELDS, scalarType } from './columns.js';
import type { ColumnValue, IndexType, ScalarType, ScalarValue } from './columns.js';
import { columnInput } from './memory-columns.js';
import type { Bucket, Condition, SortPart, StoredRow } from './store.js';

function typeOf(bucket: Bucket, column: string): IndexType {
    const type = bucket.index[column]?.type ?? ROW_FIELDS[column];
    if (type === undefined) throw new Error(`no column ${column} in ${bucket.name}`);
    return type;
}

/** Value of an index column or of one of the row's own fields. */
export function columnOf(row: StoredRow, column: string): ColumnValue {
    if (column === '_id') return row.id;
    if (column === '_key') return row.key;
    if (column === '_etag') return row.etag;
    if (column === '_mtime') return row.mtime;
    return row.columns[column] ?? null;
}

/** Text whose byte order is the order of addresses: IPv4 before IPv6, each by its numbers. */
function addressOrder(address: string): string {
    if (isIPv4(address))
        return `4${address
            .split('.')
            .map((part) => part.padStart(3, '0'))
            .join('.')}`;
    return `6${address
        .split(':')
        .map((part) => part.padStart(4, '0'))
        .join(':')}`;
}

/** Order of two values; strings by their bytes, as collation "C" has it. */
function compare(type: ScalarType, left: ScalarValue, right: ScalarValue): number {
    if (typeof left === 'string' && typeof right === 'string') {
        if (type !== 'ip') return Buffer.compare(Buffer.from(left), Buffer.from(right));
        return Buffer.compare(Buffer.from(addressOrder(left)), Buffer.from(addressOrder(right)));
    }
    return Number(left) - Number(right);
}

/** Lower case as PostgreSQL makes it with locale C: of ASCII letters only. */
function lowerCase(text: string): string {
    return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** SQL's LIKE: `%` any text, `_` one character, a backslash takes the next one as it is. */
function likeExpression(pattern: string): RegExp {
    let source = '';
    const characters = Array.from(pattern);
    for (let index = 0; index < characters.length; index++) {
        const character = characters[index] ?? '';
        if (character === '%') source += '.*';
        else if (character === '_') source += '.';
        else {
            const literal = character === '\\' ? (characters[++index] ?? '') : character;
            source += literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
        }
    }
    return new RegExp(`^${source}$`, 'su');
}

/** SQL's answer to a test; `undefined` for unknown, which is not true and stays unknown when negated. */
type Verdict = boolean | undefined;
type Test = (row: StoredRow) => Verdict;

function allOf(tests: readonly Test[], row: StoredRow): Verdict {
    const verdicts = tests.map((test) => test(row));
    if (verdicts.includes(false)) return false;
    return verdicts.includes(undefined) ? undefined : true;
}

function negated(verdict: Verdict): Verdict {
    return verdict === undefined ? undefined : !verdict;
}

function compareTest(bucket: Bucket, op: '=' | '>=' | '<=', column: string, text: string): Test {
    const type = typeOf(bucket, column);
    const scalar = scalarType(type);
    const value = columnInput(scalar, text) as ScalarValue;
    if (isArrayType(type)) {
        return (row) => {
            const entries = columnOf(row, column) as readonly ScalarValue[] | null;
            if (entries === null) return false;
            if (entries.some((entry) => entry !== null && compare(scalar, entry, value) === 0)) return true;
            return entries.includes(null) ? undefined : false;
        };
    }
    return (row) => {
        const held = columnOf(row, column) as ScalarValue;
        if (held === null) return false;
        const order = compare(scalar, held, value);
        return op === '=' ? order === 0 : op === '>=' ? order >= 0 : order <= 0;
    };
}

function textTest(column: string, matches: (text: string) => boolean): Test {
    return (row) => {
        const held = columnOf(row, column);
        return typeof held === 'string' && matches(held);
    };
}

/** The condition as a test of rows in memory, with the same outcome as in PostgreSQL: only `true` passes. */
export function rowTest(bucket: Bucket, condition: Condition): Test {
    switch (condition.op) {
        case 'all': {
            const tests = condition.parts.map((part) => rowTest(bucket, part));
            return (row) => allOf(tests, row);
        }
        case 'any': {
            const tests = condition.parts.map((part) => rowTest(bucket, { op: 'not', part }));
            return (row) => negated(allOf(tests, row));
        }
        case 'not': {
            const test = rowTest(bucket, condition.part);
            return (row) => negated(test(row));
        }
        case 'present':
            return (row) => columnOf(row, condition.column) !== null;
        case 'like': {
            const expression = likeExpression(condition.pattern);
            return textTest(condition.column, (text) => expression.test(text));
        }
        case 'ilike': {
            const expression = likeExpression(lowerCase(condition.pattern));
            return textTest(condition.column, (text) => expression.test(lowerCase(text)));
        }
        case 'caseless=': {
            const wanted = lowerCase(condition.value);
            return textTest(condition.column, (text) => lowerCase(text) === wanted);
        }
        default:
            return compareTest(bucket, condition.op, condition.column, condition.value);
    }
}

/** Order of rows: by the parts in turn, nulls last ascending and first descending. */
export function rowOrder(
    bucket: Bucket,
    sort: readonly SortPart[],
): (left: StoredRow, right: StoredRow) => number {
    const parts = sort.map((part) => ({ ...part, type: scalarType(typeOf(bucket, part.column)) }));
    return (left, right) => {
        for (const { column, descending, type } of parts) {
            const order = compareColumns(type, columnOf(left, column), columnOf(right, column));
            if (order !== 0) return descending ? -order : order;
        }
        return left.id - right.id;
    };
}

function compareColumns(type: ScalarType, left: ColumnValue, right: ColumnValue): number {
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    if (!Array.isArray(left) || !Array.isArray(right)) {
        return compare(type, left as ScalarValue, right as ScalarValue);
    }
    const [one, two] = [left as readonly ScalarValue[], right as readonly ScalarValue[]];
    for (let index = 0; index < Math.min(one.length, two.length); index++) {
        const order = compareColumns(type, one[index] ?? null, two[index] ?? null);
        if (order !== 0) return order;
    }
    return one.length - two.length;
}
