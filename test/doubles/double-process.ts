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

/** How to start a double as a process. */
export interface DoubleProgram {
    /** Where the compiled program is; if it is not, its source is beside, for which a loader is needed. */
    readonly main: URL;
    readonly switches: readonly string[];
    /** Whether it takes messages. */
    readonly messages?: boolean;
}

function command(main: URL): readonly string[] {
    const compiled = fileURLToPath(main);
    return existsSync(compiled) ? [compiled] : ['--import', 'tsx', compiled.replace(/\.js$/, '.ts')];
}

/** A double in a process of its own, to be killed. It says `{"port":PORT}` when it takes connections. */
export class DoubleProcess {
    readonly child: ChildProcess;
    /** What it says. */
    readonly lines: Interface;
    readonly port: number;

    private constructor(child: ChildProcess, lines: Interface, port: number) {
        this.child = child;
        this.lines = lines;
        this.port = port;
    }

    /** Starts a double and waits until it takes connections; fails with its output if it ends first. */
    static async start({ main, switches, messages = false }: DoubleProgram): Promise<DoubleProcess> {
        const child = spawn(process.execPath, [...command(main), ...switches], {
            env: { PATH: process.env['PATH'] },
            stdio: ['ignore', 'pipe', 'pipe', ...(messages ? (['ipc'] as const) : [])],
            // Keeps what JSON cannot say, as regular expressions.
            serialization: 'advanced',
        });
        const { stdout, stderr } = child;
        if (stdout === null || stderr === null) throw new Error('the double has no output');
        running.add(child);
        child.once('exit', () => running.delete(child));
        let noise = '';
        stderr.on('data', (chunk: Buffer) => (noise = (noise + chunk.toString()).slice(-10_000)));
        const lines = createInterface({ input: stdout });
        const timer = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
        const ended = once(child, 'exit').then(() => {
            throw new Error(`the double did not start: ${noise}`);
        });
        try {
            const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
            // Its end is expected from now on.
            ended.catch(() => undefined);
            return new DoubleProcess(child, lines, (JSON.parse(line) as { port: number }).port);
        } finally {
            clearTimeout(timer);
        }
    }

    get pid(): number {
        return this.child.pid ?? -1;
    }

    /** Ends it with a signal, if it has not ended. */
    async end(signal: NodeJS.Signals): Promise<void> {
        if (this.child.exitCode !== null || this.child.signalCode !== null) return;
        const exited = once(this.child, 'exit');
        this.child.kill(signal);
        await exited;
    }
}
