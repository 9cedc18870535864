import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const START_LIMIT_MS = 20_000;

/** Doubles that still run; none may outlive the test that started it, however that ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});

/** How to start a double as a process; everything is optional. */
export interface MorayProcessOptions {
    /** Port of 127.0.0.1; by default a free one. */
    readonly port?: number;
    /** URL of a database; by default the buckets are in the memory of the process. */
    readonly postgres?: string;
}

/** The program: compiled beside this file, else its source, for which a loader is needed. */
function program(): readonly string[] {
    const compiled = fileURLToPath(new URL('main.js', import.meta.url));
    return existsSync(compiled) ? [compiled] : ['--import', 'tsx', compiled.replace(/\.js$/, '.ts')];
}

/** A Moray double in a process of its own, to be killed. */
export class MorayProcess {
    readonly port: number;
    readonly #child: ChildProcess;
    readonly #lines: Interface;

    private constructor(child: ChildProcess, lines: Interface, port: number) {
        this.#child = child;
        this.#lines = lines;
        this.port = port;
    }

    /** Starts a double and waits until it takes connections; fails with its output if it ends first. */
    static async start(options: MorayProcessOptions = {}): Promise<MorayProcess> {
        const switches = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
        const child = spawn(process.execPath, [...program(), ...switches], {
            env: { PATH: process.env['PATH'] },
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        running.add(child);
        child.once('exit', () => running.delete(child));
        let stderr = '';
        child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-10_000)));
        const lines = createInterface({ input: child.stdout });
        const timer = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
        const ended = once(child, 'exit').then(() => {
            throw new Error(`the Moray double did not start: ${stderr}`);
        });
        try {
            const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
            // Its end is expected from now on.
            ended.catch(() => undefined);
            return new MorayProcess(child, lines, (JSON.parse(line) as { port: number }).port);
        } finally {
            clearTimeout(timer);
        }
    }

    get pid(): number {
        return this.#child.pid ?? -1;
    }

    /** Calls received by this process so far, by method, and `total`. */
    async rpcCounts(): Promise<Readonly<Record<string, number>> & { readonly total: number }> {
        const answer = once(this.#lines, 'line') as Promise<[string]>;
        this.#child.kill('SIGUSR2');
        const [line] = await answer;
        return (JSON.parse(line) as { rpcCounts: Record<string, number> & { total: number } }).rpcCounts;
    }

    /** Ends it as a service manager does. */
    async stop(): Promise<void> {
        await this.#end('SIGTERM');
    }

    /** Kills it at once. */
    async kill(): Promise<void> {
        await this.#end('SIGKILL');
    }

    async #end(signal: NodeJS.Signals): Promise<void> {
        if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
        const exited = once(this.#child, 'exit');
        this.#child.kill(signal);
        await exited;
    }
}
