import type Logger from 'bunyan';
import type { BaseDirectories, Config } from '../../../base/config-types.js';
import type { Database } from '../../../database/database.js';
import { LocalRecords } from './local-records.js';
import type { StoredRecords } from './stored-records.js';

/** What records are opened with. */
export interface RecordsOptions {
    readonly config: Config;
    readonly directories: BaseDirectories;
    readonly database: Database;
    readonly log: Logger;
}

/** The records of the database that the configuration names, as they are stored; it must be open already. */
export async function openRecords(options: RecordsOptions): Promise<StoredRecords> {
    const { config, directories, log } = options;
    if (config.databaseType === 'local') {
        return new LocalRecords(options);
    }
    if (config.moray === undefined) {
        throw new Error('config.moray is missing');
    }
    const [{ MorayConnection }, { MorayRecords }] = await Promise.all([
        import('../../../database/moray/connection.js'),
        import('./moray-records.js'),
    ]);
    return new MorayRecords(new MorayConnection({ address: config.moray, log }), directories.images);
}
