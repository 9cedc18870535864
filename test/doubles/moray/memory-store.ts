import { columnInput, checkIndexSize } from './memory-columns.js';
import { rowOrder, rowTest } from './memory-conditions.js';
import type { ColumnValue } from './columns.js';
import { invocationError, MorayError, uniqueAttribute } from './moray-error.js';
import type {
    Bucket,
    Literals,
    NewRow,
    RowPatch,
    Selected,
    Selection,
    Store,
    StoredRow,
    Transaction,
} from './store.js';

interface Table {
    readonly bucket: Bucket;
    readonly rows: Map<string, StoredRow>;
}

/** Columns as PostgreSQL would hold them. @throws InternalError for what it would refuse */
function columnsOf(bucket: Bucket, literals: Literals): Record<string, ColumnValue> {
    const columns: Record<string, ColumnValue> = {};
    for (const [column, literal] of Object.entries(literals)) {
        const definition = bucket.index[column];
        if (definition === undefined) continue;
        columns[column] = columnInput(definition.type, literal);
        checkIndexSize(bucket.name, column, columns[column]);
    }
    return columns;
}

function textOf(value: ColumnValue): string {
    return typeof value === 'string' ? value : JSON.stringify(value);
}

/** One transaction; `undo` takes its changes back, last one first. */
class MemoryTransaction implements Transaction {
    readonly #tables: Map<string, Table>;
    readonly #nextId: () => number;
    readonly #undo: (() => void)[] = [];

    constructor(tables: Map<string, Table>, nextId: () => number) {
        this.#tables = tables;
        this.#nextId = nextId;
    }

    undo(): void {
        for (const step of this.#undo.reverse()) step();
    }

    async buckets(): Promise<readonly Bucket[]> {
        return [...this.#tables.values()].map((table) => table.bucket);
    }

    async bucket(name: string): Promise<Bucket | undefined> {
        return this.#tables.get(name)?.bucket;
    }

    async addBucket(bucket: Bucket): Promise<void> {
        if (this.#tables.has(bucket.name)) {
            throw new MorayError('BucketConflictError', `${bucket.name} already exists`);
        }
        this.#setTable(bucket.name, { bucket, rows: new Map() });
    }

    async changeBucket(old: Bucket, changed: Bucket): Promise<void> {
        const rows = new Map<string, StoredRow>();
        for (const [key, row] of this.#rows(old)) {
            const kept = Object.entries(row.columns).filter(([column]) => column in changed.index);
            rows.set(key, { ...row, columns: Object.fromEntries(kept) });
        }
        this.#setTable(old.name, { bucket: changed, rows });
    }

    async removeBucket(bucket: Bucket): Promise<void> {
        const table = this.#tables.get(bucket.name);
        if (table === undefined) return;
        this.#undo.push(() => this.#tables.set(bucket.name, table));
        this.#tables.delete(bucket.name);
    }

    async load(bucket: Bucket, key: string): Promise<StoredRow | undefined> {
        return this.#rows(bucket).get(key);
    }

    async select(bucket: Bucket, selection: Selection): Promise<Selected> {
        const test = rowTest(bucket, selection.where);
        const all = [...this.#rows(bucket).values()]
            .filter((row) => test(row) === true)
            .sort(rowOrder(bucket, selection.sort));
        const end = selection.limit === undefined ? undefined : selection.offset + selection.limit;
        const rows = all.slice(selection.offset, end);
        return selection.count ? { rows, count: all.length } : { rows };
    }

    async stale(bucket: Bucket, version: number, limit: number): Promise<readonly StoredRow[]> {
        const rows = [...this.#rows(bucket).values()].filter((row) => row.rowVersion < version);
        return rows.sort((left, right) => left.id - right.id).slice(0, limit);
    }

    async insert(bucket: Bucket, row: NewRow): Promise<void> {
        this.#store(bucket, this.#nextId(), row);
    }

    async replace(bucket: Bucket, row: NewRow): Promise<void> {
        const old = this.#rows(bucket).get(row.key);
        if (old !== undefined) this.#store(bucket, old.id, row);
    }

    async patch(bucket: Bucket, key: string, patch: RowPatch): Promise<void> {
        const old = this.#rows(bucket).get(key);
        if (old === undefined) return;
        const { literals, ...fields } = patch;
        const columns = { ...old.columns, ...columnsOf(bucket, literals) };
        this.#checkUnique(bucket, key, columns);
        this.#setRow(bucket, { ...old, ...fields, columns });
    }

    async remove(bucket: Bucket, key: string): Promise<void> {
        const rows = this.#rows(bucket);
        const old = rows.get(key);
        if (old === undefined) return;
        this.#undo.push(() => rows.set(key, old));
        rows.delete(key);
    }

    #rows(bucket: Bucket): Map<string, StoredRow> {
        const table = this.#tables.get(bucket.name);
        if (table === undefined) throw new Error(`no table ${bucket.name}`);
        return table.rows;
    }

    #store(bucket: Bucket, id: number, row: NewRow): void {
        const { literals, ...fields } = row;
        const columns = columnsOf(bucket, literals);
        this.#checkUnique(bucket, row.key, columns);
        this.#setRow(bucket, { ...fields, id, columns });
    }

    #checkUnique(bucket: Bucket, key: string, columns: Readonly<Record<string, ColumnValue>>): void {
        for (const [column, definition] of Object.entries(bucket.index)) {
            const value = columns[column] ?? null;
            if (definition.unique !== true || value === null) continue;
            for (const other of this.#rows(bucket).values()) {
                if (other.key !== key && other.columns[column] === value) {
                    throw uniqueAttribute(bucket.name, key, column, textOf(value));
                }
            }
        }
    }

    #setRow(bucket: Bucket, row: StoredRow): void {
        const rows = this.#rows(bucket);
        const old = rows.get(row.key);
        this.#undo.push(() => (old === undefined ? rows.delete(row.key) : rows.set(row.key, old)));
        rows.set(row.key, row);
    }

    #setTable(name: string, table: Table): void {
        const old = this.#tables.get(name);
        this.#undo.push(() => (old === undefined ? this.#tables.delete(name) : this.#tables.set(name, old)));
        this.#tables.set(name, table);
    }
}

/** Buckets in the memory of this process; transactions run one after the other. */
export class MemoryStore implements Store {
    readonly #tables = new Map<string, Table>();
    #lastId = 0;
    #last: Promise<unknown> = Promise.resolve();

    async open(): Promise<void> {
        // Nothing to open: the tables are there from the start and survive a close.
    }

    async close(): Promise<void> {
        await this.#last;
    }

    run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
        const result = this.#last.then(() => this.#transact(work));
        this.#last = result.catch(() => undefined);
        return result;
    }

    async sql(statement: string): Promise<readonly object[]> {
        throw invocationError(`sql: no database to run ${statement}`);
    }

    async #transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
        const transaction = new MemoryTransaction(this.#tables, () => ++this.#lastId);
        try {
            return await work(transaction);
        } catch (error) {
            transaction.undo();
            throw error;
        }
    }
}
