import pg from 'pg';
import { asMorayError, isInsertRace } from './postgres-errors.js';
import { SCHEMA_SQL } from './postgres-schema.js';
import { PostgresTransaction } from './postgres-transaction.js';
import type { Store, Transaction } from './store.js';

const MAX_CONNECTIONS = 16;
const CONNECT_LIMIT_MS = 5_000;
/** Tries of a transaction that lost a race of two inserts. */
const MAX_TRIES = 3;

/**
 * Buckets in PostgreSQL: a table each, with a column per index, so that order, LIKE, arrays, locks and
 * transactions are PostgreSQL's own. Several stores, in several processes, may share one database.
 */
export class PostgresStore implements Store {
    readonly #url: string;
    #pool: pg.Pool | undefined;
    #prepared: Promise<void> | undefined;

    constructor(url: string) {
        this.#url = url;
    }

    /** Does not connect yet: as a real Moray, the double may be up before its database. */
    async open(): Promise<void> {
        if (this.#pool !== undefined) return;
        this.#pool = new pg.Pool({
            connectionString: this.#url,
            max: MAX_CONNECTIONS,
            connectionTimeoutMillis: CONNECT_LIMIT_MS,
        });
        // An idle connection that breaks is replaced by the pool; the next call finds out by itself.
        this.#pool.on('error', () => undefined);
    }

    async close(): Promise<void> {
        const pool = this.#pool;
        this.#pool = undefined;
        this.#prepared = undefined;
        await pool?.end();
    }

    async run<T>(
        work: (transaction: Transaction) => Promise<T>,
        access: 'read' | 'write' = 'write',
    ): Promise<T> {
        try {
            await this.#prepare();
            for (let attempt = 1; ; attempt++) {
                try {
                    return await this.#withClient((client) => attemptRun(client, work, access));
                } catch (error) {
                    if (attempt === MAX_TRIES || !isInsertRace(error)) throw error;
                }
            }
        } catch (error) {
            throw asMorayError(error);
        }
    }

    async sql(statement: string, values: readonly unknown[]): Promise<readonly object[]> {
        try {
            return await this.#withClient(
                async (client) => (await client.query<object>(statement, [...values])).rows,
            );
        } catch (error) {
            throw asMorayError(error);
        }
    }

    /** Makes the table of buckets, once; tried again by the next call if there is no database yet. */
    #prepare(): Promise<void> {
        this.#prepared ??= this.#withClient(async (client) => {
            await client.query(SCHEMA_SQL);
        }).catch((error: unknown) => {
            this.#prepared = undefined;
            throw error;
        });
        return this.#prepared;
    }

    async #withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
        if (this.#pool === undefined) throw new Error('the store is closed');
        const client = await this.#pool.connect();
        let broken = false;
        const onError = (): void => {
            broken = true;
        };
        client.on('error', onError);
        try {
            return await work(client);
        } finally {
            client.off('error', onError);
            client.release(broken);
        }
    }
}

async function attemptRun<T>(
    client: pg.PoolClient,
    work: (transaction: Transaction) => Promise<T>,
    access: 'read' | 'write',
): Promise<T> {
    if (access === 'read') return work(new PostgresTransaction(client, false));
    await client.query('BEGIN');
    try {
        const result = await work(new PostgresTransaction(client, true));
        await client.query('COMMIT');
        return result;
    } catch (error) {
        // When the connection is lost the rollback fails too, and has happened all the same.
        await client.query('ROLLBACK').catch(() => undefined);
        throw error;
    }
}
