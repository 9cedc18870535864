import type pg from 'pg';
import type { ColumnValue, ScalarValue } from './columns.js';
import { isArrayType } from './columns.js';
import { MorayError } from './moray-error.js';
import { identifier, selectionSql } from './postgres-conditions.js';
import { asMorayError, isInsertRace } from './postgres-errors.js';
import { changeTableSql, createTableSql } from './postgres-schema.js';
import type { Bucket, NewRow, RowPatch, Selected, Selection, StoredRow, Transaction } from './store.js';

/** A row as the driver gives it. */
type SqlRow = Readonly<Record<string, unknown>>;

function columnValue(bucket: Bucket, name: string, value: unknown): ColumnValue {
    const definition = bucket.index[name];
    if (value === null || value === undefined || definition === undefined) return null;
    if (isArrayType(definition.type)) return value as readonly ScalarValue[];
    // The driver gives NUMERIC as text, which keeps digits that a number cannot.
    return definition.type === 'number' ? Number(value) : (value as ScalarValue);
}

function storedRow(bucket: Bucket, row: SqlRow): StoredRow {
    const names = Object.keys(bucket.index);
    return {
        id: Number(row['_id']),
        key: row['_key'] as string,
        value: row['_value'] as string,
        etag: row['_etag'] as string,
        mtime: Number(row['_mtime']),
        rowVersion: Number(row['_rver']),
        columns: Object.fromEntries(names.map((name) => [name, columnValue(bucket, name, row[name])])),
    };
}

function storedBucket(row: SqlRow): Bucket {
    const parsed = (name: string): unknown => JSON.parse(row[name] as string) as unknown;
    return {
        name: row['name'] as string,
        index: parsed('index') as Bucket['index'],
        pre: parsed('pre') as Bucket['pre'],
        post: parsed('post') as Bucket['post'],
        options: parsed('options') as Bucket['options'],
        mtime: Number(row['mtime']),
        reindexActive: parsed('reindex_active') as Bucket['reindexActive'],
    };
}

function bucketValues(bucket: Bucket): readonly unknown[] {
    const { name, index, pre, post, options, mtime, reindexActive } = bucket;
    return [name, ...[index, pre, post, options].map((part) => JSON.stringify(part)), mtime].concat(
        JSON.stringify(reindexActive),
    );
}

/** One transaction on one connection; who made it begins and ends it. */
export class PostgresTransaction implements Transaction {
    readonly #client: pg.ClientBase;
    readonly #lock: string;
    /** Buckets read so far, for batches with many requests. */
    readonly #buckets = new Map<string, Bucket>();

    /** @param locks whether loaded rows stay locked until the end */
    constructor(client: pg.ClientBase, locks: boolean) {
        this.#client = client;
        this.#lock = locks ? 'FOR UPDATE' : '';
    }

    async buckets(): Promise<readonly Bucket[]> {
        return (await this.#query('SELECT * FROM buckets_config ORDER BY name', [])).map(storedBucket);
    }

    async bucket(name: string): Promise<Bucket | undefined> {
        const known = this.#buckets.get(name);
        if (known !== undefined) return known;
        const [row] = await this.#query('SELECT * FROM buckets_config WHERE name = $1', [name]);
        if (row === undefined) return undefined;
        const bucket = storedBucket(row);
        this.#buckets.set(name, bucket);
        return bucket;
    }

    async addBucket(bucket: Bucket): Promise<void> {
        const statement = `INSERT INTO buckets_config (name, index, pre, post, options, mtime, reindex_active)
            VALUES ($1, $2, $3, $4, $5, $6, $7)`;
        try {
            await this.#client.query(statement, [...bucketValues(bucket)]);
        } catch (error) {
            if (!isInsertRace(error)) throw asMorayError(error);
            throw new MorayError('BucketConflictError', `${bucket.name} already exists`);
        }
        for (const create of createTableSql(bucket)) await this.#query(create, []);
    }

    async changeBucket(old: Bucket, changed: Bucket): Promise<void> {
        this.#buckets.delete(old.name);
        const statement = `UPDATE buckets_config SET index = $2, pre = $3, post = $4, options = $5,
            mtime = $6, reindex_active = $7 WHERE name = $1`;
        await this.#query(statement, bucketValues(changed));
        for (const change of changeTableSql(old, changed)) await this.#query(change, []);
    }

    async removeBucket(bucket: Bucket): Promise<void> {
        this.#buckets.delete(bucket.name);
        await this.#query('DELETE FROM buckets_config WHERE name = $1', [bucket.name]);
        await this.#query(`DROP TABLE ${identifier(bucket.name)}`, []);
    }

    async load(bucket: Bucket, key: string): Promise<StoredRow | undefined> {
        const statement = `SELECT * FROM ${identifier(bucket.name)} WHERE _key = $1 ${this.#lock}`;
        const [row] = await this.#query(statement, [key]);
        return row && storedRow(bucket, row);
    }

    async select(bucket: Bucket, selection: Selection): Promise<Selected> {
        const values: unknown[] = [];
        const fields = selection.count ? '*, count(*) OVER () AS _count' : '*';
        const rest = selectionSql(bucket, selection, values);
        const found = await this.#query(`SELECT ${fields} FROM ${identifier(bucket.name)} ${rest}`, values);
        const rows = found.map((row) => storedRow(bucket, row));
        return selection.count ? { rows, count: Number(found[0]?.['_count'] ?? 0) } : { rows };
    }

    async stale(bucket: Bucket, version: number, limit: number): Promise<readonly StoredRow[]> {
        const statement = `SELECT * FROM ${identifier(bucket.name)} WHERE _rver < $1
            ORDER BY _id LIMIT ${limit} ${this.#lock}`;
        return (await this.#query(statement, [version])).map((row) => storedRow(bucket, row));
    }

    async insert(bucket: Bucket, row: NewRow): Promise<void> {
        const names = Object.keys(row.literals);
        const columns = ['_key', '_value', '_etag', '_mtime', '_rver', ...names].map(identifier);
        const values = rowValues(row);
        const places = values.map((_value, index) => `$${index + 1}`);
        await this.#query(
            `INSERT INTO ${identifier(bucket.name)} (${columns.join(', ')}) VALUES (${places.join(', ')})`,
            values,
            { bucket: bucket.name, key: row.key },
        );
    }

    async replace(bucket: Bucket, row: NewRow): Promise<void> {
        const names = ['_value', '_etag', '_mtime', '_rver', ...Object.keys(row.literals)];
        await this.#set(bucket, row.key, names, rowValues(row).slice(1));
    }

    async patch(bucket: Bucket, key: string, patch: RowPatch): Promise<void> {
        const { literals, etag, mtime, rowVersion } = patch;
        const own = { _etag: etag, _mtime: mtime, _rver: rowVersion };
        const changes = { ...literals, ...own };
        const set = Object.entries(changes).filter(([, value]) => value !== undefined);
        await this.#set(
            bucket,
            key,
            set.map(([name]) => name),
            set.map(([, value]) => value),
        );
    }

    async remove(bucket: Bucket, key: string): Promise<void> {
        await this.#query(`DELETE FROM ${identifier(bucket.name)} WHERE _key = $1`, [key]);
    }

    async #set(
        bucket: Bucket,
        key: string,
        names: readonly string[],
        values: readonly unknown[],
    ): Promise<void> {
        const changes = names.map((name, index) => `${identifier(name)} = $${index + 2}`);
        await this.#query(
            `UPDATE ${identifier(bucket.name)} SET ${changes.join(', ')} WHERE _key = $1`,
            [key, ...values],
            { bucket: bucket.name, key },
        );
    }

    async #query(
        statement: string,
        values: readonly unknown[],
        object?: { readonly bucket: string; readonly key: string },
    ): Promise<readonly SqlRow[]> {
        try {
            return (await this.#client.query<SqlRow>(statement, [...values])).rows;
        } catch (error) {
            // A race of two inserts is for the store, which runs the transaction again.
            throw isInsertRace(error) ? error : asMorayError(error, object?.bucket, object?.key);
        }
    }
}

function rowValues(row: NewRow): readonly unknown[] {
    return [row.key, row.value, row.etag, row.mtime, row.rowVersion, ...Object.values(row.literals)];
}
