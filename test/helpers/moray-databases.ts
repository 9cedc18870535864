import type { Test } from 'tap';
import { MorayConnection, type MorayConnectionOptions } from '#lib/database/moray/connection.js';
import { MorayDatabase, type MorayDatabaseOptions } from '#lib/database/moray/moray-database.js';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import type { MorayDoubleOptions } from '../doubles/moray/moray-double.js';
import { recordingLog, type LogRecord } from './recording-log.js';
import { configSource } from './records.js';

/** Reconnects much faster than a server does, so that tests need not wait. */
const RETRY = { minTimeout: 20, maxTimeout: 100 };

/** A database on a double, as one process has it. */
export interface OpenedMoray {
    readonly database: MorayDatabase;
    readonly connection: MorayConnection;
    readonly records: LogRecord[];
}

/** Starts a double that is stopped when the test ends. */
export async function startMoray(t: Test, options: MorayDoubleOptions = {}): Promise<MorayDouble> {
    const double = await MorayDouble.start(options);
    t.teardown(() => double.stop());
    return double;
}

/** A connection to a port, not opened yet; closed when the test ends. */
export function morayConnection(
    t: Test,
    port: number,
    options: Partial<MorayConnectionOptions> = {},
): { readonly connection: MorayConnection; readonly records: LogRecord[] } {
    const { log, records } = recordingLog();
    const address = { host: '127.0.0.1', port, retry: RETRY };
    const connection = new MorayConnection({ address, log, ...options });
    t.teardown(() => connection.close());
    return { connection, records };
}

/** A database that is not set up yet; closed when the test ends. */
export function morayDatabase(
    t: Test,
    port: number,
    options: Partial<MorayConnectionOptions & MorayDatabaseOptions> = {},
): OpenedMoray {
    const { log, records } = recordingLog();
    const { connection } = morayConnection(t, port, { log, ...options });
    const database = new MorayDatabase({ moray: connection, config: configSource(), log, ...options });
    t.teardown(() => database.close());
    return { database, connection, records };
}

/** A database that is set up and whose bucket is there. */
export async function openMoray(
    t: Test,
    port: number,
    options: Partial<MorayConnectionOptions & MorayDatabaseOptions> = {},
): Promise<OpenedMoray> {
    const opened = morayDatabase(t, port, options);
    await opened.database.setup();
    await bucketReady(opened.database);
    return opened;
}

/** Waits until the bucket of images has been found or made. */
export async function bucketReady(database: MorayDatabase): Promise<void> {
    for (let tries = 0; tries < 1000; tries += 1) {
        try {
            await database.search({ anyOf: [{}], order: 'asc', limit: 1 });
            return;
        } catch {
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
    }
    throw new Error('the bucket is still not there');
}
