import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import {
    haproxyConfig,
    hitchConfig,
    type HaproxySettings,
    type HitchSettings,
} from '#lib/cli/scripts/front-server-samples.js';
import { programPath } from './programs.js';
import { eventually, freePort, temporaryDirectory } from './server-process.js';

const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 20_000;
const MAX_OUTPUT = 1_000_000;

/** Front servers that have not ended yet; none may outlive the test that started it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
    for (const child of running) child.kill('SIGTERM');
});

/** Only root can become the users of the samples. */
export const runAs = process.getuid?.() === 0 ? {} : { runAs: null };

/** Certificate and key as PEM texts. */
export interface Pair {
    readonly certificate: string;
    readonly key: string;
}

/** Writes certificate and key into one file, as certificate tools join them; in place, as some do. */
export function writePair(path: string, { certificate, key }: Pair): void {
    writeFileSync(path, certificate + key, { mode: 0o600 });
}

/** How a program is started, told to read its configuration again, and told to end. */
interface Program {
    readonly name: 'haproxy' | 'hitch' | 'nginx';
    readonly arguments: (configPath: string, directory: string) => readonly string[];
    readonly reload: NodeJS.Signals;
}

const HAPROXY: Program = {
    name: 'haproxy',
    arguments: (path) => ['-W', '-db', '-f', path],
    reload: 'SIGUSR2',
};
const HITCH: Program = { name: 'hitch', arguments: (path) => [`--config=${path}`], reload: 'SIGHUP' };
const NGINX: Program = {
    name: 'nginx',
    arguments: (path, directory) => ['-p', directory, '-e', 'stderr', '-c', path, '-g', 'daemon off;'],
    reload: 'SIGHUP',
};

/** Whether something takes connections on a port. */
export async function listens(port: number): Promise<boolean> {
    const socket = connect(port, '127.0.0.1');
    return new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
    }).finally(() => socket.destroy());
}

/** One of Debian's front servers in a process of its own, with the project's sample configuration. */
export class FrontServer {
    /** Where clients connect. */
    readonly port: number;
    readonly #program: Program;
    readonly #directory: string;
    readonly #child: ChildProcess;
    #output = '';

    private constructor(program: Program, port: number, config: string) {
        this.port = port;
        this.#program = program;
        this.#directory = temporaryDirectory();
        const path = join(this.#directory, `${program.name}.conf`);
        mkdirSync(join(this.#directory, 'logs'));
        writeFileSync(path, config);
        const options = { stdio: ['ignore', 'pipe', 'pipe'] as const };
        const child = spawn(
            programPath(program.name) ?? program.name,
            [...program.arguments(path, this.#directory)],
            { stdio: [...options.stdio] },
        );
        running.add(child);
        child.once('exit', () => running.delete(child));
        for (const stream of [child.stdout, child.stderr]) {
            stream?.on('data', (chunk: Buffer) => {
                this.#output = (this.#output + chunk.toString()).slice(-MAX_OUTPUT);
            });
        }
        this.#child = child;
    }

    /** @param change makes of the sample what a test needs */
    static async haproxy(
        settings: HaproxySettings,
        change: (config: string) => string = (config) => config,
    ): Promise<FrontServer> {
        const port = settings.httpsPort ?? settings.proxyPort ?? 0;
        return FrontServer.#start(HAPROXY, port, change(haproxyConfig({ ...runAs, ...settings })));
    }

    static async hitch(settings: HitchSettings): Promise<FrontServer> {
        const port = settings.port ?? (await freePort());
        return FrontServer.#start(HITCH, port, hitchConfig({ ...runAs, ...settings, port }));
    }

    /** @param config the whole text */
    static async nginx(port: number, config: string): Promise<FrontServer> {
        return FrontServer.#start(NGINX, port, config);
    }

    static async #start(program: Program, port: number, config: string): Promise<FrontServer> {
        const server = new FrontServer(program, port, config);
        await eventually(program.name, START_LIMIT_MS, () => {
            if (!server.alive) throw new Error(`${program.name} ended: ${server.output}`);
            return listens(port);
        }).catch(async (error: unknown) => {
            await server.stop();
            throw error;
        });
        return server;
    }

    get alive(): boolean {
        return running.has(this.#child);
    }

    /** What it has said so far, the log of requests included. */
    get output(): string {
        return this.#output;
    }

    /** Most memory that it and its workers have used so far, bytes. */
    get peakMemory(): number {
        const pid = this.#child.pid ?? 0;
        const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
        return Math.max(...[String(pid), ...children].filter(Boolean).map(peakMemory));
    }

    /** Has it read its configuration and certificate again, as `systemctl reload` does. */
    reload(): void {
        this.#child.kill(this.#program.reload);
    }

    /** Ends it, and all that it serves. */
    async stop(): Promise<void> {
        if (this.alive) {
            const exited = once(this.#child, 'exit');
            const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
            this.#child.kill('SIGTERM');
            await exited;
            clearTimeout(timer);
        }
        rmSync(this.#directory, { recursive: true, force: true });
    }
}

/** Most memory that a process has used so far, bytes. */
export function peakMemory(pid: number | string): number {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) * 1024;
}
