import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { RootResult, ScratchRoot } from './scratch-root.js';
import { parseUnit, type Unit } from './unit-file.js';

const UNITS = '/usr/lib/systemd/system';
const STOP_LIMIT_MS = 30_000;

/** Asks us; bash can talk to a port by itself. */
function clientScript(port: number): string {
    return [
        '#!/bin/bash',
        `exec 3<>/dev/tcp/127.0.0.1/${port} || exit 1`,
        'echo "$*" >&3',
        'read -r status <&3',
        'cat <&3',
        'exit "$status"',
        '',
    ].join('\n');
}

interface Answer {
    readonly status: number;
    readonly text?: string;
}

/** A process of a unit. */
interface Service {
    readonly unit: Unit;
    readonly child: ChildProcess;
    readonly output: string[];
}

/** Stands for systemd in a scratch root: does with units of servers what they say, and remembers what it was told. */
export class ServiceManager {
    /** Command lines of systemctl and deb-systemd-invoke. */
    readonly calls: string[] = [];
    readonly #root: ScratchRoot;
    readonly #enabled = new Set<string>();
    readonly #services = new Map<string, Service>();
    readonly #server: Server;

    private constructor(root: ScratchRoot) {
        this.#root = root;
        this.#server = createServer((socket) => void this.#serve(socket));
    }

    /** Puts the programs that talk to it into the root, and says there that systemd runs. */
    static async start(root: ScratchRoot): Promise<ServiceManager> {
        const manager = new ServiceManager(root);
        manager.#server.listen(0, '127.0.0.1');
        await once(manager.#server, 'listening');
        const address = manager.#server.address();
        const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
        for (const name of ['systemctl', 'deb-systemd-invoke']) {
            root.write(`/usr/bin/${name}`, clientScript(port), 0o755);
        }
        root.write('/run/systemd/system/.here', '');
        return manager;
    }

    /** Log lines of a service. */
    logOf(name: string): string {
        return (this.#services.get(name)?.output ?? []).join('');
    }

    isRunning(name: string): boolean {
        return this.#services.has(name);
    }

    /** Runs a unit that ends by itself, as its timer would. */
    async runOnce(name: string): Promise<RootResult> {
        const { command, user } = this.#unit(name);
        return this.#root.run(command, { user });
    }

    /** Starts a service as its unit says. @throws Error with what the checks before it say */
    async startService(name: string): Promise<void> {
        const unit = this.#unit(name);
        for (const path of unit.needs) {
            if (!existsSync(this.#root.at(path))) throw new Error(`${name}: no ${path}`);
        }
        for (const command of unit.before) {
            const { status, stdout, stderr } = await this.#root.run(command, { user: unit.user });
            if (status !== 0) throw new Error(`${name}: ${stdout}${stderr}`);
        }
        const child = this.#root.start(unit.command, { user: unit.user, directory: unit.directory });
        const service = { unit, child, output: [] as string[] };
        for (const stream of [child.stdout, child.stderr]) {
            stream?.on('data', (chunk: Buffer) => service.output.push(chunk.toString()));
        }
        this.#services.set(name, service);
        child.once('exit', () => {
            if (this.#services.get(name) === service) this.#services.delete(name);
        });
    }

    /** Ends a service as its unit says, and tells how it ended. */
    async stopService(name: string): Promise<number | null> {
        const service = this.#services.get(name);
        if (service === undefined) throw new Error(`${name} does not run`);
        const ended = once(service.child, 'close') as Promise<[number | null]>;
        service.child.kill(service.unit.stopSignal);
        const timer = setTimeout(() => service.child.kill('SIGKILL'), STOP_LIMIT_MS);
        const [status] = await ended;
        clearTimeout(timer);
        return status;
    }

    async close(): Promise<void> {
        for (const name of [...this.#services.keys()]) await this.stopService(name);
        this.#server.close();
    }

    #unit(name: string): Unit {
        const [, instance = ''] = /@(.*)\.service$/.exec(name) ?? [];
        const text = this.#root.read(`${UNITS}/${name.replace(/@.*\./, '@.')}`);
        const variables = [...text.matchAll(/^EnvironmentFile=-?(.*)$/gm)]
            .map(([, path]) => path ?? '')
            .filter((path) => existsSync(this.#root.at(path)))
            .flatMap((path) => [...this.#root.read(path).matchAll(/^([A-Z_]+)="(.*)"$/gm)])
            .map(([, variable, value]) => [variable ?? '', value ?? ''] as const);
        return parseUnit(text, instance, Object.fromEntries(variables));
    }

    async #serve(socket: Socket): Promise<void> {
        socket.setEncoding('utf8').on('error', () => undefined);
        const [line] = (await once(socket, 'data')) as [string];
        const call = line.trim();
        this.calls.push(call);
        const { status, text = '' } = await this.#answer(call.split(' ')).catch((error: unknown) => ({
            status: 1,
            text: String(error),
        }));
        socket.end(`${status}\n${text}`);
    }

    async #answer([verb = '', ...args]: readonly string[]): Promise<Answer> {
        const names = args.filter((name) => /^imgapi@\d+\.service$/.test(name));
        switch (verb) {
            case 'daemon-reload':
                return { status: 0 };
            case 'enable':
                for (const name of args) this.#enabled.add(name);
                return { status: 0 };
            case 'is-enabled':
                return { status: args.every((one) => one === '--quiet' || this.#enabled.has(one)) ? 0 : 1 };
            case 'list-units':
                return {
                    status: 0,
                    text: [...this.#services.keys()]
                        .map((name) => `${name} loaded active running Image server\n`)
                        .join(''),
                };
            case 'show':
                return { status: 0, text: `${this.#services.get(args.at(-1) ?? '')?.child.pid ?? 0}\n` };
            case 'start':
                for (const name of names) if (!this.isRunning(name)) await this.startService(name);
                return { status: 0 };
            case 'stop': {
                const running = [...this.#services.keys()];
                const meant = args.includes('imgapi@*.service')
                    ? running
                    : running.filter((name) => names.includes(name));
                for (const name of meant) await this.stopService(name);
                return { status: 0 };
            }
            default:
                return { status: 1, text: `systemctl ${verb} is not known here` };
        }
    }
}
