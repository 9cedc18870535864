import { isArrayType, scalarType } from './columns.js';
import type { IndexDefinition, ScalarType } from './columns.js';
import { identifier } from './postgres-conditions.js';
import type { Bucket } from './store.js';

/** Table of buckets, and a lock so that two servers may start on an empty database. */
export const SCHEMA_SQL = `
    BEGIN;
    SELECT pg_advisory_xact_lock(2020);
    CREATE TABLE IF NOT EXISTS buckets_config (
        name TEXT PRIMARY KEY,
        index TEXT NOT NULL,
        pre TEXT NOT NULL,
        post TEXT NOT NULL,
        options TEXT NOT NULL,
        mtime BIGINT NOT NULL,
        reindex_active TEXT NOT NULL
    );
    COMMIT`;

const SQL_TYPES: Readonly<Record<ScalarType, string>> = {
    string: 'TEXT',
    number: 'NUMERIC',
    boolean: 'BOOLEAN',
    ip: 'INET',
    subnet: 'CIDR',
    mac: 'MACADDR',
    uuid: 'UUID',
};

function columnType({ type }: IndexDefinition): string {
    return SQL_TYPES[scalarType(type)] + (isArrayType(type) ? '[]' : '');
}

function indexSql(bucket: string, name: string, definition: IndexDefinition): string {
    const kind = definition.unique === true ? 'UNIQUE INDEX' : 'INDEX';
    const method = isArrayType(definition.type) ? 'GIN' : 'BTREE';
    const index = identifier(`${bucket}_${name}_idx`);
    return `CREATE ${kind} ${index} ON ${identifier(bucket)} USING ${method} (${identifier(name)})`;
}

/** Statements that make the table of a bucket: its JSON text, its own fields, a column per index. */
export function createTableSql(bucket: Bucket): readonly string[] {
    const columns = Object.entries(bucket.index).map(
        ([name, definition]) => `, ${identifier(name)} ${columnType(definition)}`,
    );
    const table = `CREATE TABLE ${identifier(bucket.name)} (
        _id BIGSERIAL,
        _key TEXT PRIMARY KEY,
        _value TEXT NOT NULL,
        _etag TEXT NOT NULL,
        _mtime BIGINT NOT NULL,
        _rver INTEGER NOT NULL
        ${columns.join('\n')}
    )`;
    const indexes = Object.entries(bucket.index).map(([name, definition]) =>
        indexSql(bucket.name, name, definition),
    );
    return [
        table,
        ...indexes,
        ...['_etag', '_mtime', '_id'].map((name) => indexSql(bucket.name, name, { type: 'string' })),
    ];
}

/** Statements that give the table of `old` the columns of `changed`. */
export function changeTableSql(old: Bucket, changed: Bucket): readonly string[] {
    const table = identifier(old.name);
    const dropped = Object.keys(old.index).filter((name) => !(name in changed.index));
    const added = Object.entries(changed.index).filter(([name]) => !(name in old.index));
    return [
        ...dropped.map((name) => `ALTER TABLE ${table} DROP COLUMN ${identifier(name)}`),
        ...added.flatMap(([name, definition]) => [
            `ALTER TABLE ${table} ADD COLUMN ${identifier(name)} ${columnType(definition)}`,
            indexSql(old.name, name, definition),
        ]),
    ];
}
