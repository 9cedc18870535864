import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { HttpClient } from './http-client.js';
import { eventually, LIMIT_MS, PROJECT_ROOT } from './server-process.js';

const OBEY_MS = 20;
const UNIT = (port: number): string => `imgapi@${port}.service`;

/** Answers as systemctl does, out of two files. */
const SYSTEMCTL = `#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
case "$1" in
    list-units) cat "$here/units";;
    show) cat "$here/pid";;
    is-enabled) echo enabled;;
    is-active) echo "$(cat "$here/timer" 2>/dev/null || echo active)";;
    stop | start) echo "$1" > "$here/wanted"; while [ -e "$here/wanted" ]; do sleep 0.05; done;;
esac
`;

/** A server that is started again whenever it ends, with a `systemctl` that tells of it. */
export class SupervisedServer {
    /** To come first in `PATH`. */
    readonly bin: string;
    readonly #configPath: string;
    readonly #port: number;
    /** Process ids of all servers so far. */
    readonly pids: number[] = [];
    readonly #timer: NodeJS.Timeout;
    #child: ChildProcess | undefined;
    #isWanted = true;
    #isBusy = false;

    private constructor(directory: string, configPath: string, port: number) {
        this.bin = join(directory, 'systemd');
        this.#configPath = configPath;
        this.#port = port;
        mkdirSync(this.bin);
        writeFileSync(join(this.bin, 'systemctl'), SYSTEMCTL);
        chmodSync(join(this.bin, 'systemctl'), 0o755);
        this.#timer = setInterval(() => void this.#obey(), OBEY_MS);
    }

    /** Starts a server and waits until it answers; it ends with the test. */
    static async start(
        t: Test,
        directory: string,
        configPath: string,
        port: number,
    ): Promise<SupervisedServer> {
        const server = new SupervisedServer(directory, configPath, port);
        t.teardown(() => server.stop());
        server.#run();
        await server.answers();
        return server;
    }

    get environment(): Record<string, string> {
        return { PATH: `${this.bin}:${process.env['PATH'] ?? ''}` };
    }

    async answers(): Promise<void> {
        const client = new HttpClient(this.#port);
        await eventually('an answer', LIMIT_MS, () =>
            client.get('/ping').then(
                ({ status }) => status === 200,
                () => false,
            ),
        );
    }

    /** What `systemctl` was told. */
    get calls(): string {
        return readFileSync(join(this.bin, 'calls'), 'utf8');
    }

    /** Ends it for good. */
    async stop(): Promise<void> {
        clearInterval(this.#timer);
        await this.#end('SIGKILL');
    }

    async #end(signal: NodeJS.Signals): Promise<void> {
        this.#isWanted = false;
        const child = this.#child;
        if (child?.exitCode === null && child.signalCode === null) {
            child.kill(signal);
            await once(child, 'exit');
        }
    }

    /** Does what `systemctl` was told, and has it end then. */
    async #obey(): Promise<void> {
        const path = join(this.bin, 'wanted');
        if (this.#isBusy || !existsSync(path)) return;
        this.#isBusy = true;
        if (readFileSync(path, 'utf8').trim() === 'stop') {
            await this.#end('SIGTERM');
        } else {
            this.#isWanted = true;
            this.#run();
        }
        rmSync(path);
        this.#isBusy = false;
    }

    #run(): void {
        const child = spawn(process.execPath, ['main.js', '-f', this.#configPath], {
            cwd: PROJECT_ROOT,
            env: { PATH: process.env['PATH'], TZ: 'UTC' },
            stdio: 'ignore',
        });
        this.#child = child;
        this.pids.push(child.pid ?? -1);
        writeFileSync(join(this.bin, 'units'), `${UNIT(this.#port)} loaded active running Image server\n`);
        writeFileSync(join(this.bin, 'pid'), `${child.pid ?? 0}\n`);
        child.once('exit', () => {
            if (this.#isWanted) this.#run();
        });
    }
}
