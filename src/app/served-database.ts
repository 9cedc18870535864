import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, Config, ConfigSource } from '../base/config-types.js';
import type { Tally } from '../base/tally.js';
import { CachedLists } from '../database/cached-lists.js';
import type { Database, StoredImage } from '../database/database.js';
import { LocalDatabase } from '../database/local/local-database.js';
import { LocalSharingStore } from '../database/local/local-sharing.js';
import type { SharingStore } from '../database/sharing.js';

/** Records as the local database holds them in memory. */
export interface HeldRecords {
    readonly size: number;
    /** Files in `manifests/` that could not be taken as records. */
    readonly skipped: readonly { readonly file: string; readonly reason: string }[];
    snapshot(): Iterable<StoredImage>;
}

/** The records among what was skipped (operations 1.6); the rest is something else that lies beside them. */
export function skippedRecords({ skipped }: Pick<HeldRecords, 'skipped'>): HeldRecords['skipped'] {
    return skipped.filter(({ file }) => file.endsWith('.raw'));
}

/** A database with what a server does with it beside reading and writing images. */
export interface ServedDatabase {
    readonly database: Database;
    readonly sharing: SharingStore;
    /** Whether every process of a base directory writes, or only the holder of the lock (operations 4.7). */
    readonly writers: 'all' | 'holder';
    /** Prepares for being the holder of the lock. */
    becomeWriter(): Promise<void>;
    /** Judges records by the rules now in force, after a change of the configuration. */
    revalidate(): Promise<void>;
    /** Resolves when no write is under way any more; none follows. Absent: writers need no order. */
    endWriting?(): Promise<void>;
    /** Ends everything; no call follows. */
    close(): Promise<void>;
    /** A record as it is at this moment, whatever this process holds. @throws as {@link Database.get} */
    current(uuid: string): Promise<StoredImage>;
    /** Every record, for counts. @throws 503 */
    all(): Promise<Iterable<StoredImage>>;
    /** What is in memory; absent: nothing is. */
    readonly held?: HeldRecords;
    /** Drops what is only kept to be faster. */
    dropCaches?(): void;
    /** How often lists were answered from a cache; absent: there is none. */
    readonly listRequests?: Tally<'cache' | 'result'>;
}

/** What a database is made from. */
export interface ServedDatabaseOptions {
    readonly directories: BaseDirectories;
    readonly config: ConfigSource;
    readonly log: Logger;
    readonly clock: Clock;
}

/** The database in files of this machine. */
function serveLocalDatabase(options: ServedDatabaseOptions): ServedDatabase {
    const { directories, config, clock } = options;
    const database = new LocalDatabase({ directories, config, log: options.log });
    return {
        database,
        sharing: new LocalSharingStore({ directories, clock }),
        writers: 'holder',
        becomeWriter: () => database.becomeWriter(),
        revalidate: () => database.revalidate(),
        endWriting: () => database.close(),
        close: () => database.close(),
        current: (uuid) => database.reread(uuid),
        all: () => Promise.resolve(database.snapshot()),
        held: database,
    };
}

/** The database that all processes of a datacenter share. */
async function serveMorayDatabase(
    address: NonNullable<Config['moray']>,
    options: ServedDatabaseOptions,
): Promise<ServedDatabase> {
    const { config, log, clock } = options;
    const { MorayConnection } = await import('../database/moray/connection.js');
    const { MorayDatabase } = await import('../database/moray/moray-database.js');
    const { MoraySharingStore } = await import('../database/moray/moray-sharing.js');
    const moray = new MorayConnection({ address, log });
    const database = new MorayDatabase({ moray, config, log });
    const lists = new CachedLists({ database, config });
    return {
        database: lists,
        sharing: new MoraySharingStore({ moray, clock }),
        writers: 'all',
        becomeWriter: () => Promise.resolve(),
        revalidate: async () => {
            await database.revalidate();
            lists.clear();
        },
        close: () => lists.close(),
        current: (uuid) => database.get(uuid),
        all: () => database.search({ anyOf: [{}], order: 'asc' }),
        dropCaches: () => lists.clear(),
        listRequests: lists.requests,
    };
}

/** Makes the database that the configuration names; nothing is opened or connected yet. */
export async function serveDatabase(options: ServedDatabaseOptions): Promise<ServedDatabase> {
    const { databaseType, moray } = options.config.current;
    if (databaseType === 'local') {
        return serveLocalDatabase(options);
    }
    if (moray === undefined) {
        throw new Error('config.moray is missing');
    }
    return serveMorayDatabase(moray, options);
}
