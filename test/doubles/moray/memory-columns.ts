import { isIP } from 'node:net';
import { isArrayType, scalarFromText, scalarType } from './columns.js';
import type { ColumnValue, IndexType, ScalarType, ScalarValue } from './columns.js';
import { databaseRefused } from './moray-error.js';

const SPACE = /[ \t\n\r\v\f]/;
/** Words of PostgreSQL's boolean input; unique beginnings of the long ones are left out. */
const TRUE_WORDS = new Set(['true', 't', 'yes', 'y', 'on', '1']);
const FALSE_WORDS = new Set(['false', 'f', 'no', 'n', 'off', '0']);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Reads a scalar as PostgreSQL's input functions do. @throws InternalError with its words */
function scalarInput(type: ScalarType, text: string): ScalarValue {
    if (text.includes('\0')) throw databaseRefused('invalid byte sequence for encoding "UTF8": 0x00');
    const bare = text.trim();
    if (type === 'number') {
        if (!NUMBER.test(bare)) throw databaseRefused(`invalid input syntax for type numeric: "${text}"`);
        return Number(bare);
    }
    if (type === 'boolean') {
        const word = bare.toLowerCase();
        if (TRUE_WORDS.has(word)) return true;
        if (FALSE_WORDS.has(word)) return false;
        throw databaseRefused(`invalid input syntax for type boolean: "${text}"`);
    }
    if (type === 'ip' && isIP(bare) === 0) {
        throw databaseRefused(`invalid input syntax for type inet: "${text}"`);
    }
    if (type === 'uuid' && !UUID.test(bare)) {
        throw databaseRefused(`invalid input syntax for type uuid: "${text}"`);
    }
    return scalarFromText(type, type === 'string' ? text : bare.toLowerCase());
}

interface ArrayEntry {
    readonly text: string;
    readonly escaped: boolean;
}

/** One unquoted entry from `start` to the next `,` or `}`: spaces around it are dropped. */
function readEntry(literal: string, start: number): { readonly entry: ArrayEntry; readonly end: number } {
    let index = start;
    while (SPACE.test(literal.charAt(index))) index++;
    let text = '';
    let kept = 0;
    let escaped = false;
    while (index < literal.length && literal[index] !== ',' && literal[index] !== '}') {
        const isEscape = literal[index] === '\\';
        if (isEscape) index++;
        const character = literal.charAt(index);
        text += character;
        if (isEscape || !SPACE.test(character)) kept = text.length;
        escaped ||= isEscape;
        index++;
    }
    return { entry: { text: text.slice(0, kept), escaped }, end: index };
}

/** Entries of an array literal as `columnLiteral` writes it. @throws InternalError */
function arrayEntries(literal: string): readonly ArrayEntry[] {
    const entries: ArrayEntry[] = [];
    let index = 0;
    do {
        const { entry, end } = readEntry(literal, index + 1);
        entries.push(entry);
        index = end;
    } while (literal[index] === ',');
    if (entries.length === 1 && entries[0]?.text === '') return [];
    if (entries.some(({ text }) => text === '')) {
        throw databaseRefused(`malformed array literal: "${literal}"`);
    }
    return entries;
}

/** What a PostgreSQL column of this type would hold after it was given this text. */
export function columnInput(type: IndexType, literal: string | null): ColumnValue {
    if (literal === null) return null;
    const scalar = scalarType(type);
    if (!isArrayType(type)) return scalarInput(scalar, literal);
    return arrayEntries(literal).map(({ text, escaped }) =>
        !escaped && text.toLowerCase() === 'null' ? null : scalarInput(scalar, text),
    );
}

/** Largest entry of a btree page and of a GIN page of PostgreSQL, in bytes, uncompressed. */
const MAX_BTREE_BYTES = 2704;
const MAX_GIN_BYTES = 2712;
/** Bytes that an index row has besides the text. */
const INDEX_ROW_OVERHEAD = 16;

/**
 * Refuses what does not fit into an index page. PostgreSQL compresses long entries first, so it still
 * takes longer ones if they repeat themselves.
 * @throws InternalError
 */
export function checkIndexSize(table: string, column: string, value: ColumnValue): void {
    const entries = Array.isArray(value) ? (value as readonly ScalarValue[]) : [value as ScalarValue];
    const isArray = Array.isArray(value);
    const limit = isArray ? MAX_GIN_BYTES : MAX_BTREE_BYTES;
    for (const entry of entries) {
        if (typeof entry !== 'string') continue;
        const size = Buffer.byteLength(entry) + INDEX_ROW_OVERHEAD;
        if (size <= limit) continue;
        const what = isArray ? `maximum ${limit}` : `btree version 4 maximum ${limit}`;
        throw databaseRefused(`index row size ${size} exceeds ${what} for index "${table}_${column}_idx"`);
    }
}
