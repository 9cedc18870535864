import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './server-process.js';

/** The system calls behind one step, whichever of them a machine has. */
const CALLS = {
    open: ['open', 'openat'],
    write: ['write', 'pwrite64', 'writev', 'pwritev'],
    sync: ['fsync', 'fdatasync'],
    rename: ['rename', 'renameat', 'renameat2'],
    unlink: ['unlink', 'unlinkat'],
    mkdir: ['mkdir', 'mkdirat'],
} as const;

/** A step of the file system that can be made to fail. */
export type FaultyCall = keyof typeof CALLS;

/** What the operating system can be made to say. */
export type FaultCode = 'ENOSPC' | 'EDQUOT' | 'EROFS' | 'EIO';

/** What to inject into a running process. */
export interface Fault {
    readonly call: FaultyCall;
    /**
     * What the call fails with; `kill`: the process dies before the call takes effect; `stop`: it
     * stops behind it; `nothing`: it is only noted.
     */
    readonly with: FaultCode | 'kill' | 'stop' | 'nothing';
    /** Which of the calls of a thread, from 1; by default all of them. `3+`: from the third on. */
    readonly nth?: number | string;
    /** Only calls whose first argument is this path, or an open file of it. */
    readonly path?: string;
}

const ATTACH_LIMIT_MS = 10_000;

function effectOf(what: Exclude<Fault['with'], 'nothing'>): string {
    return what === 'kill' || what === 'stop' ? `signal=${what.toUpperCase()}` : `error=${what}`;
}

/** Faults in the system calls of a running process, by way of strace; in force until {@link end}. */
export class InjectedFault {
    readonly #tracer: ChildProcess;
    readonly #report: string;

    private constructor(tracer: ChildProcess, report: string) {
        this.#tracer = tracer;
        this.#report = report;
    }

    /** Resolves when the fault is in force, in every thread of the process. */
    static async into(pid: number, fault: Fault): Promise<InjectedFault> {
        const directory = mkdtempSync(join(tmpdir(), 'imgapi-fault-'));
        const calls = CALLS[fault.call].map((name) => `?${name}`).join(',');
        const when = fault.nth === undefined ? '' : `:when=${fault.nth}`;
        const inject =
            fault.with === 'nothing' ? [] : ['-e', `inject=${calls}:${effectOf(fault.with)}${when}`];
        const filter = fault.path === undefined ? [] : ['-P', fault.path];
        const args = ['-f', '-y', '-s', '0', '-e', `trace=${calls}`, ...inject];
        const tracer = spawn(
            'strace',
            [...args, ...filter, '-o', join(directory, 'report'), '-p', String(pid)],
            { stdio: ['ignore', 'ignore', 'pipe'] },
        );
        const injected = new InjectedFault(tracer, directory);
        await attached(tracer);
        return injected;
    }

    /**
     * Stops the process when it has made a file whose path passes `pattern`, has its writes to that
     * file fail, and lets it go on. The name of the file need not be known before; `start` starts
     * what makes it.
     */
    static async intoNewFile(
        pid: number,
        pattern: RegExp,
        code: FaultCode,
        start: () => void,
    ): Promise<InjectedFault> {
        const stopper = await InjectedFault.into(pid, { call: 'open', with: 'stop' });
        start();
        for (let stops = 1; ; stops += 1) {
            const made = await eventually('the process to stop', ATTACH_LIMIT_MS, () => {
                const { calls } = stopper;
                const stopped = calls.filter((line) => line.includes('--- SIGSTOP')).length >= stops;
                return stopped && isStopped(pid)
                    ? (calls.filter((line) => line.includes(' open')).at(-1) ?? '')
                    : false;
            });
            const path = /"([^"]+)", O_WRONLY\|O_CREAT/.exec(made)?.[1];
            if (path === undefined || !pattern.test(path)) {
                process.kill(pid, 'SIGCONT');
                continue;
            }
            await stopper.end();
            const fault = await InjectedFault.into(pid, { call: 'write', with: code, path });
            process.kill(pid, 'SIGCONT');
            return fault;
        }
    }

    /** The calls so far that may be made to fail, in order, as strace writes them. */
    get calls(): readonly string[] {
        return readFileSync(join(this.#report, 'report'), 'utf8').split('\n');
    }

    /** Runs something in a process and gives the calls of one kind that it made, in order. */
    static async watch(
        pid: number,
        call: FaultyCall,
        run: () => Promise<unknown>,
    ): Promise<readonly string[]> {
        const watching = await InjectedFault.into(pid, { call, with: 'nothing' });
        await run();
        await watching.detach();
        return watching.forget().filter((line) => CALLS[call].some((name) => line.includes(` ${name}(`)));
    }

    /** Takes the fault away and tells the calls that failed, in order. */
    async end(): Promise<readonly string[]> {
        await this.detach();
        return this.forget().filter((line) => line.includes('(INJECTED)'));
    }

    /** Lets go of the process. */
    async detach(): Promise<void> {
        if (this.#tracer.exitCode === null && this.#tracer.signalCode === null) {
            const ended = once(this.#tracer, 'exit');
            this.#tracer.kill('SIGINT');
            await ended;
        }
    }

    /** Removes the report and gives what was in it. */
    forget(): readonly string[] {
        const { calls } = this;
        rmSync(this.#report, { recursive: true, force: true });
        return calls;
    }
}

/** Whether all threads of a process stand still by a signal. */
function isStopped(pid: number): boolean {
    return readdirSync(`/proc/${pid}/task`).every((thread) =>
        /^State:\s+[Tt]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
    );
}

/** Resolves when a tracer says that it has attached. */
async function attached(tracer: ChildProcess): Promise<void> {
    const { stderr } = tracer;
    if (stderr === null) throw new Error('no pipe');
    let said = '';
    await new Promise<void>((resolve, reject) => {
        const fail = (why: string) => reject(new Error(`strace ${why}: ${said}`));
        setTimeout(() => fail('does not attach'), ATTACH_LIMIT_MS).unref();
        tracer.once('error', reject);
        tracer.once('exit', () => fail('ended'));
        stderr.on('data', (chunk: Buffer) => {
            said += chunk.toString();
            if (/ attached/.test(said)) resolve();
        });
    });
}

/** Why faults cannot be injected here; `false` when they can. */
export function noInjection(): string | false {
    const trial = spawnSync('strace', ['-o', '/dev/null', '-e', 'trace=none', 'true'], { encoding: 'utf8' });
    if (trial.error !== undefined) return `strace cannot be run: ${trial.error.message}`;
    return trial.status === 0 ? false : `strace cannot trace here: ${trial.stderr.trim()}`;
}

/** A small file system in memory, which can be filled and made read-only. */
export class SmallDisk {
    readonly path: string;

    /** Mounts it over a directory, which is made if need be. */
    constructor(path: string, kilobytes: number) {
        this.path = path;
        mkdirSync(path, { recursive: true });
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=0750`, 'imgapi-test', path]);
    }

    setReadOnly(readOnly: boolean): void {
        execFileSync('mount', ['-o', `remount,${readOnly ? 'ro' : 'rw'}`, this.path]);
    }

    unmount(): void {
        execFileSync('umount', ['-l', this.path]);
    }
}

/** Why small disks cannot be mounted here; `false` when they can. */
export function noMounting(): string | false {
    const directory = mkdtempSync(join(tmpdir(), 'imgapi-disk-'));
    try {
        new SmallDisk(directory, 64).unmount();
        return false;
    } catch (error) {
        return `no file system can be mounted here: ${(error as Error).message.split('\n')[0] ?? ''}`;
    } finally {
        rmSync(directory, { recursive: true, force: true });
    }
}
