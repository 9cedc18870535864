import bunyan from 'bunyan';
import { once, type EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { MorayObject } from './objects.js';

type Callback = (error: Error | null, result?: unknown) => void;

/** What the tests use of the client library. */
interface RawClient extends EventEmitter {
    close(): void;
    findObjects(bucket: string, filter: string, options: object): EventEmitter;
    sql(statement: string, values: readonly unknown[], options: object): EventEmitter;
    [method: string]: unknown;
}

const { createClient } = createRequire(import.meta.url)('moray') as {
    createClient: (options: object) => RawClient;
};
const { findCauseByName } = createRequire(import.meta.url)('verror') as {
    findCauseByName: (error: Error, name: string) => (Error & { readonly context?: object }) | null;
};

/** The error of this name among an error and its causes. */
export function causeNamed(error: unknown, name: string): (Error & { readonly context?: object }) | null {
    return error instanceof Error ? findCauseByName(error, name) : null;
}

/** Options of the client library that matter to a test. */
export interface ClientOptions {
    readonly requireIndexes?: boolean;
    readonly requireOnlineReindexing?: boolean;
}

/** The real client library of Moray, with promises. */
export class MorayClient {
    readonly #client: RawClient;

    private constructor(client: RawClient) {
        this.#client = client;
    }

    /** Connects to a port of 127.0.0.1; connects again by itself when the connection is lost. */
    static async connect(port: number, options: ClientOptions = {}): Promise<MorayClient> {
        const client = createClient({
            host: '127.0.0.1',
            port,
            log: bunyan.createLogger({ name: 'moray', streams: [] }),
            retry: { minTimeout: 10, maxTimeout: 100 },
            ...options,
        });
        await once(client, 'connect');
        return new MorayClient(client);
    }

    /** Calls a method of the library that takes a callback. */
    call<T>(method: string, ...args: readonly unknown[]): Promise<T> {
        return new Promise((resolve, reject) => {
            const callback: Callback = (error, result) => {
                if (error) reject(error);
                else resolve(result as T);
            };
            (this.#client[method] as (...all: unknown[]) => void).call(this.#client, ...args, callback);
        });
    }

    put(
        bucket: string,
        key: string,
        value: object,
        options: object = {},
    ): Promise<{ readonly etag: string }> {
        return this.call('putObject', bucket, key, value, options);
    }

    get(bucket: string, key: string, options: object = {}): Promise<MorayObject> {
        return this.call('getObject', bucket, key, options);
    }

    /** All records of a search. */
    find(bucket: string, filter: string, options: object = {}): Promise<readonly MorayObject[]> {
        return this.#records(this.#client.findObjects(bucket, filter, options));
    }

    /** All rows of a statement. */
    sql(statement: string, values: readonly unknown[] = []): Promise<readonly object[]> {
        return this.#records(this.#client.sql(statement, values, {}));
    }

    /** Closes all connections. */
    async close(): Promise<void> {
        const closed = once(this.#client, 'close');
        this.#client.close();
        await closed;
    }

    #records<T>(request: EventEmitter): Promise<readonly T[]> {
        return new Promise((resolve, reject) => {
            const records: T[] = [];
            request.on('record', (record: T) => records.push(record));
            request.once('error', reject);
            request.once('end', () => resolve(records));
        });
    }
}
