import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../../../base/config-types.js';
import { systemErrorCode } from '../../../base/errors.js';
import { processState } from '../../../lock/process-identity.js';
import { findServiceManager, instancesOf, type ServiceInstance } from '../../service-manager.js';
import { holderOf } from '../backup/running-server.js';
import { waitForPong } from '../ask-ping.js';
import { addressOfConfig } from '../server-access.js';
import type { StandaloneServer } from '../standalone-config.js';

/** Beyond the time a server takes to end its requests, milliseconds. */
const GRACE_MS = 15_000;
const POLL_MS = 200;
/** How often a server is asked that is started again; a service manager pauses before, each try half a second. */
const PONG_TRIES = 60;

/** The processes of a server, and whether somebody starts them again when they end. */
export interface RunningServer {
    readonly pids: readonly number[];
    readonly isKept: boolean;
}

/** Finds the processes of a server; none: it does not run here. */
export async function findServer(
    { directories }: StandaloneServer,
    environment: NodeJS.ProcessEnv,
): Promise<RunningServer> {
    const holder = await holderOf(directories);
    const isRunning = holder !== undefined && (await processState(holder)) !== undefined;
    const manager = await findServiceManager(environment);
    const all: readonly ServiceInstance[] = manager === undefined ? [] : await manager.instances();
    const kept = instancesOf(all, directories.base, holder);
    const pids = kept.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    return {
        pids: [...new Set([...pids, ...(isRunning ? [holder] : [])])],
        isKept: kept.length > 0,
    };
}

function hangUp(pid: number): void {
    try {
        process.kill(pid, 'SIGHUP');
    } catch (error) {
        // It has ended meanwhile: whoever starts it again has it read the new configuration.
        if (systemErrorCode(error) !== 'ESRCH') {
            throw error;
        }
    }
}

async function hasEnded(pid: number, limitMs: number): Promise<boolean> {
    const end = Date.now() + limitMs;
    while ((await processState(pid)) !== undefined) {
        if (Date.now() > end) {
            return false;
        }
        await delay(POLL_MS);
    }
    return true;
}

/**
 * Has a server read its configuration, in which a key has changed: it ends its requests and then itself, and
 * is started again by whoever looks after it.
 *
 * @returns why it failed; `undefined`: the server answers again
 */
export async function reloadServer({ pids }: RunningServer, config: Config): Promise<string | undefined> {
    const limitMs = (config.shutdownTimeoutSec + config.drainDelaySec) * 1000 + GRACE_MS;
    pids.forEach(hangUp);
    const ended = await Promise.all(pids.map((pid) => hasEnded(pid, limitMs)));
    if (ended.includes(false)) {
        return `the server has not ended within ${limitMs / 1000} s of SIGHUP`;
    }
    const address = addressOfConfig(config);
    return (await waitForPong(address, PONG_TRIES))
        ? undefined
        : `the server does not answer at ${address.url} again`;
}
