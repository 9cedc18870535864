import { once } from 'node:events';
import { DoubleProcess } from '../double-process.js';

/** How to start a double as a process; everything is optional. */
export interface MorayProcessOptions {
    /** Port of 127.0.0.1; by default a free one. */
    readonly port?: number;
    /** URL of a database; by default the buckets are in the memory of the process. */
    readonly postgres?: string;
}

/** A Moray double in a process of its own, to be killed. */
export class MorayProcess {
    readonly #process: DoubleProcess;

    private constructor(process: DoubleProcess) {
        this.#process = process;
    }

    /** Starts a double and waits until it takes connections; fails with its output if it ends first. */
    static async start(options: MorayProcessOptions = {}): Promise<MorayProcess> {
        const switches = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
        return new MorayProcess(
            await DoubleProcess.start({ main: new URL('main.js', import.meta.url), switches }),
        );
    }

    get port(): number {
        return this.#process.port;
    }

    get pid(): number {
        return this.#process.pid;
    }

    /** Calls received by this process so far, by method, and `total`. */
    async rpcCounts(): Promise<Readonly<Record<string, number>> & { readonly total: number }> {
        const answer = once(this.#process.lines, 'line') as Promise<[string]>;
        this.#process.child.kill('SIGUSR2');
        const [line] = await answer;
        return (JSON.parse(line) as { rpcCounts: Record<string, number> & { total: number } }).rpcCounts;
    }

    /** Ends it as a service manager does. */
    async stop(): Promise<void> {
        await this.#process.end('SIGTERM');
    }

    /** Kills it at once. */
    async kill(): Promise<void> {
        await this.#process.end('SIGKILL');
    }
}
