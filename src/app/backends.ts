import type Logger from 'bunyan';
import { LocalArchive } from '../archive/local-archive.js';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, Config, ConfigSource } from '../base/config-types.js';
import type { StorageType } from '../base/constants.js';
import { KeyedQueue } from '../base/keyed-queue.js';
import { LocalDatabase } from '../database/local/local-database.js';
import type { ImageServices } from '../images/context.js';
import { currentFiles } from '../images/current-files.js';
import { FileUploadJournal } from '../storage/file-upload-journal.js';
import { FileDeleteJournal } from '../storage/journal.js';
import { LocalStorage } from '../storage/local/local-storage.js';
import type { Storage } from '../storage/storage.js';

/** What the backends are made from. */
export interface BackendOptions {
    readonly config: ConfigSource;
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
}

/** The parts of a server behind the ports. */
export interface Backends {
    readonly images: ImageServices;
    readonly database: LocalDatabase;
    readonly archive: LocalArchive;
    readonly localStorage: LocalStorage;
}

/**
 * Refuses what this release has no backend for.
 *
 * @throws Error with the reason, for the start to fail with
 */
export function requireSupported(config: Config): void {
    if (config.databaseType !== 'local') {
        throw new Error(`config.databaseType ${config.databaseType} is not supported by this release`);
    }
    const storage = config.storageTypes.find((type) => type !== 'local');
    if (storage !== undefined) {
        throw new Error(`config.storageTypes ${storage} is not supported by this release`);
    }
    if (config.mode === 'dc') {
        throw new Error('config.mode dc is not supported by this release');
    }
}

/** Makes the backends that the configuration names; nothing is opened yet. */
export function createBackends(options: BackendOptions): Backends {
    const { config, directories, clock, log } = options;
    const database = new LocalDatabase({ directories, config, log: log.child({ component: 'db' }) });
    const storageLog = log.child({ component: 'storage' });
    const localStorage = new LocalStorage({ directories, log: storageLog });
    const storages = new Map<StorageType, Storage>([['local', localStorage]]);
    const archive = new LocalArchive({ directories, mode: config.current.mode, log: storageLog });
    const imageQueue = new KeyedQueue();
    const journal = new FileDeleteJournal({
        directories,
        log: storageLog,
        clock,
        storages,
        currentFiles: (uuid) => currentFiles(database, uuid),
        imageQueue,
    });
    const uploads = new FileUploadJournal({ directories, log: storageLog });
    const images = { config, database, storages, archive, journal, uploads, imageQueue, clock };
    return { images, database, archive, localStorage };
}
