import { DEFAULT_BASE_DIR } from '../base/constants.js';
import { programIn } from './places.js';
import { runProgram } from './run-program.js';

const LIMIT_MS = 30_000;
/** Stopping waits for transfers: `TimeoutStopSec` of the unit, and some (operations 4.3). */
const STOP_LIMIT_MS = 960_000;

/** A process of the server, as the service manager knows it. */
export interface ServiceInstance {
    /** e.g. `imgapi@8080.service`, `svc:/smartdc/site/imgapi:default`. */
    readonly name: string;
    /** In the manager's words, e.g. `active`, `failed`, `online`, `maintenance`. */
    readonly state: string;
    readonly isRunning: boolean;
    /** Absent: not known, or not running. */
    readonly pid?: number;
}

/** Who starts and stops servers here. */
export interface ServiceManager {
    readonly name: 'systemd' | 'SMF';
    /** Processes of the server with their states. */
    instances(): Promise<readonly ServiceInstance[]>;
    /** @throws Error when the manager refuses */
    stop(names: readonly string[]): Promise<void>;
    /** @throws Error when the manager refuses */
    start(names: readonly string[]): Promise<void>;
    /** The command line for an operator to look at an instance. */
    statusCommand(name: string): string;
}

async function demand(file: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
    const { status, stderr } = await runProgram(file, args, { timeoutMs: STOP_LIMIT_MS, environment });
    if (status !== 0) {
        throw new Error(`${file} ${args.join(' ')} failed: ${stderr.trim()}`);
    }
}

const LIST_UNITS = ['list-units', '--plain', '--no-legend', '--all', '--full', 'imgapi@*.service'] as const;

/** What a program says; nothing when it cannot be run. */
async function said(file: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<string> {
    const result = await runProgram(file, args, { timeoutMs: LIMIT_MS, environment }).catch(() => undefined);
    return result?.status === 0 ? result.stdout.trim() : '';
}

class Systemd implements ServiceManager {
    readonly name = 'systemd';
    readonly #systemctl: string;
    readonly #environment: NodeJS.ProcessEnv;

    constructor(systemctl: string, environment: NodeJS.ProcessEnv) {
        this.#systemctl = systemctl;
        this.#environment = environment;
    }

    async instances(): Promise<readonly ServiceInstance[]> {
        const stdout = await said(this.#systemctl, LIST_UNITS, this.#environment);
        const lines = stdout.split('\n').map((line) => line.trim().split(/\s+/));
        const units = lines.filter(([name = '']) => /^imgapi@.+\.service$/.test(name));
        return await Promise.all(units.map(([name = '', , state = '']) => this.#instance(name, state)));
    }

    stop(names: readonly string[]): Promise<void> {
        return demand(this.#systemctl, ['stop', ...names], this.#environment);
    }

    async start(names: readonly string[]): Promise<void> {
        // What has failed too often of late would be refused. One it does not know of yet is no failure.
        await said(this.#systemctl, ['reset-failed', ...names], this.#environment);
        await demand(this.#systemctl, ['start', ...names], this.#environment);
    }

    statusCommand(name: string): string {
        return `systemctl status ${name}`;
    }

    async #instance(name: string, state: string): Promise<ServiceInstance> {
        const args = ['show', '--property=MainPID', '--value', name];
        const pid = Number(await said(this.#systemctl, args, this.#environment));
        return { name, state, isRunning: state === 'active', ...(pid > 0 ? { pid } : {}) };
    }
}

const FMRI = 'svc:/smartdc/site/imgapi:default';

class Smf implements ServiceManager {
    readonly name = 'SMF';
    readonly #environment: NodeJS.ProcessEnv;

    constructor(environment: NodeJS.ProcessEnv) {
        this.#environment = environment;
    }

    async instances(): Promise<readonly ServiceInstance[]> {
        const state = await said('svcs', ['-H', '-o', 'state', FMRI], this.#environment);
        return state === '' ? [] : [{ name: FMRI, state, isRunning: state === 'online' }];
    }

    async stop(names: readonly string[]): Promise<void> {
        for (const name of names) {
            await demand('svcadm', ['disable', '-st', name], this.#environment);
        }
    }

    async start(names: readonly string[]): Promise<void> {
        for (const name of names) {
            await demand('svcadm', ['enable', '-s', name], this.#environment);
        }
    }

    statusCommand(name: string): string {
        return `svcs -x ${name}`;
    }
}

/** The service manager of this machine; `undefined`: there is none that runs. */
export async function findServiceManager(
    environment: NodeJS.ProcessEnv,
): Promise<ServiceManager | undefined> {
    const systemctl = programIn(environment, 'systemctl');
    // In a container the program may be there without anybody who listens to it.
    if (systemctl !== undefined) {
        const options = { timeoutMs: LIMIT_MS, environment };
        const listed = await runProgram(systemctl, LIST_UNITS, options).catch(() => undefined);
        if (listed?.status === 0) {
            return new Systemd(systemctl, environment);
        }
    }
    return programIn(environment, 'svcadm') === undefined ? undefined : new Smf(environment);
}

/**
 * The running instances that belong to a base directory: all of them, if its lock is held by one of them.
 *
 * @param holder process that holds the lock
 */
export function instancesOf(
    instances: readonly ServiceInstance[],
    base: string,
    holder: number | undefined,
): readonly ServiceInstance[] {
    const running = instances.filter(({ isRunning }) => isRunning);
    const isTheirs = running.some(({ pid }) =>
        pid === undefined ? base === DEFAULT_BASE_DIR : pid === holder,
    );
    return isTheirs ? running : [];
}
