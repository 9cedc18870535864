import { join } from 'node:path';
import type Logger from 'bunyan';
import { systemClock } from '../../../base/clock.js';
import type { BaseDirectories } from '../../../base/config-types.js';
import { VERSION } from '../../../base/constants.js';
import { BaseLock } from '../../../lock/base-lock.js';
import { readLockFile } from '../../../lock/lock-record.js';
import { findServiceManager, instancesOf, type ServiceManager } from '../../service-manager.js';

/** A server that was stopped, to be started again. */
export interface StoppedServer {
    readonly manager: ServiceManager;
    readonly instances: readonly string[];
}

/** The base directory for this process alone. */
export interface Exclusive {
    /** Absent: no server was running. */
    readonly stopped?: StoppedServer;
    release(): Promise<void>;
}

/** The server's process that holds the lock of a base directory, or seems to. */
export async function holderOf({ run }: BaseDirectories): Promise<number | undefined> {
    return (await readLockFile(join(run, 'imgapi.lock')))?.record?.pid;
}

async function stopServer(
    directories: BaseDirectories,
    environment: NodeJS.ProcessEnv,
): Promise<StoppedServer | undefined> {
    const manager = await findServiceManager(environment);
    if (manager === undefined) {
        return undefined;
    }
    const running = instancesOf(await manager.instances(), directories.base, await holderOf(directories));
    const instances = running.map(({ name }) => name);
    if (instances.length > 0) {
        await manager.stop(instances);
    }
    return instances.length > 0 ? { manager, instances } : undefined;
}

/**
 * Keeps servers away from a base directory: one that the service manager runs is stopped for that.
 *
 * @throws Error when a server runs that nobody here can stop
 */
export async function excludeServers(
    directories: BaseDirectories,
    environment: NodeJS.ProcessEnv,
    log: Logger,
): Promise<Exclusive> {
    const lock = new BaseLock({ directories, log, clock: systemClock, app: `imgapiadm ${VERSION}` });
    if (await lock.tryAcquire()) {
        return { release: () => lock.release() };
    }
    const stopped = await stopServer(directories, environment);
    if (stopped !== undefined && (await lock.tryAcquire())) {
        return { stopped, release: () => lock.release() };
    }
    await stopped?.manager.start(stopped.instances);
    throw new Error(
        lock.foreign
            ? `run/imgapi.lock in ${directories.base} is another machine's: see "imgapiadm unlock"`
            : `a server holds run/imgapi.lock in ${directories.base}, and no service manager that could stop it: stop it first`,
    );
}
