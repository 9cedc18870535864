import { randomInt } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** One Bunyan record of the server's log. */
export interface LogRecord {
    readonly msg: string;
    readonly level: number;
    readonly [field: string]: unknown;
}

/** How a server process ended. */
export interface ExitFacts {
    readonly code: number | null;
    readonly signal: NodeJS.Signals | null;
    readonly stdout: string;
    readonly stderr: string;
}

/** How to start a server process; everything is optional. */
export interface ServerOptions {
    /** Keys of the config file; port, address, mode and log level have defaults. */
    readonly config?: Readonly<Record<string, unknown>>;
    /** Base directory to share with another process; by default a fresh one, removed after the run. */
    readonly baseDir?: string;
    /** Further command line switches. */
    readonly args?: readonly string[];
    /** Further environment variables. */
    readonly environment?: Readonly<Record<string, string>>;
}

/** How long a test file with servers may take on a busy machine. */
export const LIMIT_MS = 120_000;
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 30_000;
const MAX_LOG_RECORDS = 100_000;

/** Servers that have not ended yet; none may outlive the test that started it, however that ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});

/** Top directory of the project: the nearest one above with a package.json. */
export const PROJECT_ROOT: string = findProjectRoot();

function findProjectRoot(): string {
    let directory = dirname(fileURLToPath(import.meta.url));
    while (!existsSync(join(directory, 'package.json'))) {
        const parent = dirname(directory);
        if (parent === directory) throw new Error('no package.json above the tests');
        directory = parent;
    }
    return directory;
}

/** Ports that the system gives to nobody by itself, so that those free now are free later, too. */
const FIRST_PORT = 15_000;
const PORTS = 15_000;

/** A port of 127.0.0.1 that was free a moment ago, and that no other test is likely to take. */
export async function freePort(): Promise<number> {
    for (let tries = 0; tries < 100; tries += 1) {
        const port = FIRST_PORT + randomInt(PORTS);
        const server = createServer();
        const isFree = await new Promise<boolean>((resolve) => {
            server.once('error', () => resolve(false));
            server.listen(port, '127.0.0.1', () => resolve(true));
        });
        if (isFree) {
            await new Promise((resolve) => server.close(resolve));
            return port;
        }
    }
    throw new Error('no free port');
}

/** Polls until `test` gives something else than `undefined`, `null` or `false`; fails after `limitMs`. */
export async function eventually<T>(
    what: string,
    limitMs: number,
    test: () => T | Promise<T>,
): Promise<Exclude<NonNullable<T>, false>> {
    const end = Date.now() + limitMs;
    for (;;) {
        const value = await test();
        if (value !== undefined && value !== null && value !== false) {
            return value as Exclude<NonNullable<T>, false>;
        }
        if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
        await delay(20);
    }
}

/** A temporary directory; the caller removes it. */
export function temporaryDirectory(): string {
    return mkdtempSync(join(tmpdir(), 'imgapi-test-'));
}

/** Environment of a server: nothing of the test runner's own switches leaks into it. */
function serverEnvironment(baseDir: string): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], HOME: baseDir, TZ: 'UTC', IMGAPITEST_LOCAL_BASE_DIR: baseDir };
}

/** Runs `node main.js` with these switches to its end, at most 20 s, and tells how it ended. */
export async function runToEnd(args: readonly string[], baseDir: string): Promise<ExitFacts> {
    const child = spawn(process.execPath, ['main.js', ...args], {
        cwd: PROJECT_ROOT,
        env: serverEnvironment(baseDir),
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: START_LIMIT_MS,
        killSignal: 'SIGKILL',
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code, signal, ...output };
}

/** A real server in a process of its own, on a loopback port and a base directory for itself. */
export class ServerProcess {
    readonly port: number;
    readonly baseDir: string;
    readonly configPath: string;
    /** Log records so far; lines that are no records are in {@link ServerProcess.noise}. */
    readonly log: LogRecord[] = [];
    readonly noise: string[] = [];
    /** Settles when the process is gone. */
    readonly exited: Promise<ExitFacts>;
    readonly #child: ChildProcess;
    readonly #ownsBase: boolean;
    readonly #config: Readonly<Record<string, unknown>>;
    #stderr = '';
    #exit: ExitFacts | undefined;

    private constructor(port: number, options: ServerOptions) {
        this.port = port;
        this.#ownsBase = options.baseDir === undefined;
        this.baseDir = options.baseDir ?? temporaryDirectory();
        this.#config = { port, address: '127.0.0.1', mode: 'private', logLevel: 'info', ...options.config };
        mkdirSync(join(this.baseDir, 'etc'), { recursive: true });
        this.configPath = join(this.baseDir, 'etc', `imgapi.config.${port}.json`);
        this.writeConfig({});
        this.#child = spawn(process.execPath, ['main.js', '-f', this.configPath, ...(options.args ?? [])], {
            cwd: PROJECT_ROOT,
            env: { ...serverEnvironment(this.baseDir), ...options.environment },
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        running.add(this.#child);
        this.exited = this.#collect();
    }

    /** Starts a server and waits for its `startup complete`; throws with its output if it ends first. */
    static async start(options: ServerOptions = {}): Promise<ServerProcess> {
        const server = await ServerProcess.launch(options);
        try {
            await server.waitForLog((record) => record.msg === 'startup complete', START_LIMIT_MS);
        } catch (error) {
            await server.kill();
            throw error;
        }
        return server;
    }

    /** Starts a server without waiting for it to be ready. */
    static async launch(options: ServerOptions = {}): Promise<ServerProcess> {
        return new ServerProcess(await freePort(), options);
    }

    get url(): string {
        return `http://127.0.0.1:${this.port}`;
    }

    get pid(): number {
        return this.#child.pid ?? -1;
    }

    get alive(): boolean {
        return this.#exit === undefined;
    }

    /** Writes the config file again, with `changes` over what the process was started with. */
    writeConfig(changes: Readonly<Record<string, unknown>>): void {
        writeFileSync(this.configPath, JSON.stringify({ ...this.#config, ...changes }, null, 2));
    }

    /** The first record that passes the test, past or future. */
    async waitForLog(test: (record: LogRecord) => boolean, limitMs = 10_000): Promise<LogRecord> {
        return eventually('a log record', limitMs, () => {
            const found = this.log.find(test);
            if (found === undefined && this.#exit !== undefined) {
                throw new Error(`the server ended: ${JSON.stringify(this.#exit)} ${this.tail()}`);
            }
            return found;
        });
    }

    /** The last log records as text, for messages. */
    tail(): string {
        return [...this.noise.slice(-5), ...this.log.slice(-5).map((record) => JSON.stringify(record))].join(
            '\n',
        );
    }

    signal(name: NodeJS.Signals): void {
        this.#child.kill(name);
    }

    /** Stops the server as a service manager does and waits for its end; kills it after 30 s. */
    async stop(name: NodeJS.Signals = 'SIGTERM'): Promise<ExitFacts> {
        this.signal(name);
        return this.#end();
    }

    /** Kills the server at once and waits until it is gone. */
    async kill(): Promise<ExitFacts> {
        this.signal('SIGKILL');
        return this.#end();
    }

    async #end(): Promise<ExitFacts> {
        const timer = setTimeout(() => this.signal('SIGKILL'), STOP_LIMIT_MS);
        const facts = await this.exited;
        clearTimeout(timer);
        if (this.#ownsBase) rmSync(this.baseDir, { recursive: true, force: true });
        return facts;
    }

    async #collect(): Promise<ExitFacts> {
        const { stdout, stderr } = this.#child;
        if (stdout === null || stderr === null) throw new Error('no pipes');
        stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
        createInterface({ input: stdout }).on('line', (line) => this.#take(line));
        const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
        running.delete(this.#child);
        this.#exit = { code, signal, stdout: this.noise.join('\n'), stderr: this.#stderr };
        return this.#exit;
    }

    #take(line: string): void {
        try {
            this.log.push(JSON.parse(line) as LogRecord);
        } catch {
            this.noise.push(line);
        }
        if (this.log.length > MAX_LOG_RECORDS) this.log.shift();
    }
}
