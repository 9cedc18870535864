import { createRequire } from 'node:module';
import { isArrayType, ROW_FIELDS, scalarType } from './columns.js';
import type { IndexType } from './columns.js';
import { invocationError, notIndexed } from './moray-error.js';
import type { Bucket, Condition } from './store.js';

/** A node of Moray's own filter parser. */
interface FilterNode {
    readonly type: 'and' | 'or' | 'not' | 'equal' | 'ge' | 'le' | 'present' | 'substring' | 'approx' | 'ext';
    readonly attribute: string;
    value: unknown;
    readonly rule?: string;
    readonly filter: FilterNode;
    readonly filters: readonly FilterNode[];
    readonly initial?: string;
    readonly any?: readonly string[];
    readonly final?: string;
    matches(target: object): boolean;
    forEach(visit: (node: FilterNode) => void): void;
}

const morayFilter = createRequire(import.meta.url)('moray-filter') as { parse(text: string): FilterNode };

/** A filter of a call: what the database tests of it, and the whole of it as an exact test. */
export interface Filter {
    readonly where: Condition;
    /** Tests a value as it would be answered, together with the row's own fields. */
    readonly matches: (target: object) => boolean;
}

/** Types of what the database can test: the bucket's indexes but for those being filled, and row fields. */
function usableTypes(bucket: Bucket): ReadonlyMap<string, IndexType> {
    const filling = new Set(Object.values(bucket.reindexActive).flat());
    const types = new Map(Object.entries(ROW_FIELDS));
    for (const [name, { type }] of Object.entries(bucket.index)) {
        if (!filling.has(name)) types.set(name, type);
    }
    return types;
}

/** Makes the parts of a filter conditions; `undefined` for what must be tested without the database. */
class Compiler {
    readonly #bucket: string;
    readonly #text: string;
    readonly #types: ReadonlyMap<string, IndexType>;

    constructor(bucket: Bucket, text: string) {
        this.#bucket = bucket.name;
        this.#text = text;
        this.#types = usableTypes(bucket);
    }

    /** Fields in the filter that the database cannot test. */
    unindexed(filter: FilterNode): readonly string[] {
        const names = new Set<string>();
        filter.forEach((node) => {
            const isLeaf = node.type !== 'and' && node.type !== 'or' && node.type !== 'not';
            if (isLeaf && !this.#types.has(node.attribute)) names.add(node.attribute);
        });
        return [...names];
    }

    /** Gives values the types of their columns, so that the exact test compares like with like. */
    giveTypes(filter: FilterNode): void {
        filter.forEach((node) => {
            const type = this.#types.get(node.attribute);
            if (type === undefined || !['equal', 'ge', 'le'].includes(node.type)) return;
            const text = String(node.value);
            if (scalarType(type) === 'number') node.value = Number(text);
            if (scalarType(type) === 'boolean') node.value = /^true$/i.test(text);
        });
    }

    compile(node: FilterNode): Condition | undefined {
        switch (node.type) {
            case 'and': {
                // An unindexed part of an `and` is left to the test after LIMIT.
                const parts = node.filters
                    .map((part) => this.compile(part))
                    .filter((part) => part !== undefined);
                return parts.length === 0 ? undefined : { op: 'all', parts };
            }
            case 'or': {
                const parts = node.filters.map((part) => this.compile(part));
                const known = parts.filter((part) => part !== undefined);
                return known.length === parts.length ? { op: 'any', parts: known } : undefined;
            }
            case 'not': {
                // Without one of its parts the inside matches more, so its negation would match less.
                if (this.unindexed(node.filter).length > 0) return undefined;
                const part = this.compile(node.filter);
                return part === undefined ? undefined : { op: 'not', part };
            }
            default:
                return this.#leaf(node);
        }
    }

    #leaf(node: FilterNode): Condition | undefined {
        const column = node.attribute;
        const type = this.#types.get(column);
        if (type === undefined) return undefined;
        if (node.type === 'present') return { op: 'present', column };
        if (node.type === 'equal') return { op: '=', column, value: this.#literal(type, node) };
        if (isArrayType(type)) throw this.#refusal(`${column} is an array, which has no ${node.type} test`);
        if (node.type === 'ge') return { op: '>=', column, value: this.#literal(type, node) };
        if (node.type === 'le') return { op: '<=', column, value: this.#literal(type, node) };
        if (type !== 'string') throw this.#refusal(`${column} is a ${type}, which has no ${node.type} test`);
        if (node.type === 'substring') return { op: 'like', column, pattern: pattern(node) };
        if (node.rule === 'caseIgnoreMatch') {
            return { op: 'caseless=', column, value: String(node.value) };
        }
        if (node.rule === 'caseIgnoreSubstringsMatch') return { op: 'ilike', column, pattern: pattern(node) };
        throw this.#refusal(`no such test: ${node.type} ${node.rule ?? ''}`.trim());
    }

    #literal(type: IndexType, node: FilterNode): string {
        const scalar = scalarType(type);
        if (scalar === 'number' && Number.isNaN(node.value)) {
            throw invocationError(`${this.#text}: ${node.attribute} is compared with what is no number`);
        }
        return String(node.value);
    }

    #refusal(reason: string): Error {
        return notIndexed(this.#bucket, this.#text, reason);
    }
}

/** The value of a substring filter for LIKE. Wildcards in it are not escaped, as Moray does not. */
function pattern(node: FilterNode): string {
    return [node.initial ?? '', ...(node.any ?? []), node.final ?? ''].join('%');
}

/** Case-blind tests, which the parser's nodes leave to their user. */
function addCaselessTests(filter: FilterNode): void {
    filter.forEach((node) => {
        if (node.type !== 'ext') return;
        node.matches = (target) => {
            const held = (target as Readonly<Record<string, unknown>>)[node.attribute];
            if (typeof held !== 'string') return false;
            const text = held.toLowerCase();
            if (node.rule === 'caseIgnoreMatch') return text === String(node.value).toLowerCase();
            const [initial, final] = [node.initial ?? '', node.final ?? ''].map((part) => part.toLowerCase());
            const middle = text.slice(initial?.length, text.length - (final?.length ?? 0));
            let from = 0;
            for (const part of node.any ?? []) {
                const found = middle.indexOf(part.toLowerCase(), from);
                if (found === -1) return false;
                from = found + part.length;
            }
            return text.startsWith(initial ?? '') && text.endsWith(final ?? '');
        };
    });
}

/**
 * Reads a filter.
 * @param requireIndexes whether every field of it must be indexed, not only one
 * @throws InvocationError, NotIndexedError
 */
export function readFilter(bucket: Bucket, text: string, requireIndexes: boolean): Filter {
    let filter: FilterNode;
    try {
        filter = morayFilter.parse(text);
    } catch (error) {
        throw invocationError(`${text}: ${error instanceof Error ? error.message : String(error)}`);
    }
    const compiler = new Compiler(bucket, text);
    const unindexed = compiler.unindexed(filter);
    if (requireIndexes && unindexed.length > 0) {
        throw notIndexed(bucket.name, text, `unindexed fields: ${unindexed.join(', ')}`);
    }
    compiler.giveTypes(filter);
    addCaselessTests(filter);
    const where = compiler.compile(filter);
    if (where === undefined) throw notIndexed(bucket.name, text, `unindexed fields: ${unindexed.join(', ')}`);
    return { where, matches: (target) => filter.matches(target) };
}
