import type Logger from 'bunyan';
import { createBackends } from '../../../app/backends.js';
import { LiveConfig } from '../../../app/live-config.js';
import type { ServedDatabase } from '../../../app/served-database.js';
import { loadConfig } from '../../../base/config.js';
import { systemClock } from '../../../base/clock.js';
import type { BaseDirectories, Config } from '../../../base/config-types.js';
import { VERSION } from '../../../base/constants.js';
import { baseDirectories } from '../../../base/directories.js';
import type { ImageServices } from '../../../images/context.js';
import { BaseLock } from '../../../lock/base-lock.js';
import { checkDataVersion } from '../../../maintenance/data-version.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import type { Storage } from '../../../storage/storage.js';
import { actAsOwner } from './act-as-owner.js';

/** Records can only be changed by who holds the lock of the base directory: exit status 252 (operations 2.2). */
export class LockedError extends Error {
    override readonly name = 'LockedError';
}

/** What is to be done with the data. */
export interface DataOrder {
    readonly configPath: string;
    /**
     * - `reading`: this and changes of mere files go beside a server;
     * - `records`: they change, so no server may write meanwhile: on Moray they take turns;
     * - `alone`: no server may run on these files, wherever the records are.
     */
    readonly access: 'reading' | 'records' | 'alone';
    readonly log: Logger;
}

/** What a server works on, opened without a server. */
export interface ServerData {
    readonly config: Config;
    readonly directories: BaseDirectories;
    readonly images: ImageServices;
    readonly database: ServedDatabase;
    /** Files as they lie on this machine, whether or not the configuration names this storage. */
    readonly localStorage: Storage;
    /** The Manta area; absent: none is configured. */
    readonly objects?: ObjectStore;
    /** Whether this process alone may change records; always so on Moray, which takes turns itself. */
    readonly mayWrite: boolean;
    close(): Promise<void>;
}

/** The configuration and the layout it describes. @throws Error as {@link loadConfig} */
export function readLayout(path: string, log: Logger): { config: Config; directories: BaseDirectories } {
    const config = loadConfig(path, { onWarning: (message) => log.debug(message) });
    const base = baseDirectories(config.dataDir);
    return { config, directories: { ...base, jobs: config.jobs.dir ?? base.jobs } };
}

/** @throws LockedError */
async function takeLock(directories: BaseDirectories, log: Logger): Promise<BaseLock> {
    const lock = new BaseLock({ directories, log, clock: systemClock, app: `imgapiadm ${VERSION}` });
    if (!(await lock.tryAcquire())) {
        throw new LockedError(
            lock.foreign
                ? `run/imgapi.lock in ${directories.base} is another machine's: see "imgapiadm unlock"`
                : `a server holds run/imgapi.lock in ${directories.base}: stop it, or use it with --url`,
        );
    }
    return lock;
}

/**
 * Opens what the configuration names: the local directory or Moray, and the storages (operations 2.2). Run by
 * root, this process goes on as the owner of the base directory.
 *
 * @throws LockedError; Error for a configuration, a directory or a database that cannot be used
 */
export async function openServerData({ configPath, access, log }: DataOrder): Promise<ServerData> {
    const { config, directories } = readLayout(configPath, log);
    await actAsOwner(directories.base);
    await checkDataVersion(directories);
    const backends = await createBackends({
        config: new LiveConfig(config),
        directories,
        log,
        clock: systemClock,
    });
    const { database, images, localStorage, objects } = backends;
    const needsLock = access === 'alone' || (access === 'records' && database.writers === 'holder');
    let lock: BaseLock | undefined;
    const close = async (): Promise<void> => {
        await backends.close();
        await lock?.release();
    };
    try {
        if (needsLock) {
            lock = await takeLock(directories, log);
            lock.onLost(() => {
                process.stderr.write('imgapiadm: run/imgapi.lock was taken by another process\n');
                process.exit(252);
            });
            await database.becomeWriter();
        }
        await database.database.setup();
        await database.database.ping();
    } catch (error) {
        await close();
        throw error;
    }
    return {
        config,
        directories,
        images,
        database,
        localStorage,
        ...(objects === undefined ? {} : { objects }),
        mayWrite: lock !== undefined || database.writers === 'all',
        close,
    };
}
