import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { TokenServer, type TokenServerOptions } from '../doubles/registry/token-server.js';
import { RegistryClient } from './registry-client.js';
import { eventually, freePort, temporaryDirectory } from './server-process.js';

const START_LIMIT_MS = 20_000;

/** Registries that have not ended yet; none may outlive the test that started it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});

function isInstalled(): boolean {
    try {
        execFileSync('docker-registry', ['--version'], { stdio: 'ignore', timeout: START_LIMIT_MS });
        return true;
    } catch {
        return false;
    }
}

/** Why there can be no Docker registry here, or false. */
export const noDockerRegistry: string | false = isInstalled() ? false : 'docker-registry is not installed';

/** What a registry is like; by default everybody may do everything. */
export interface DockerRegistryOptions {
    /** Names and passwords of those who may do everything; asks for HTTP Basic credentials. */
    readonly basic?: Readonly<Record<string, string>>;
    /** Asks for tokens of a server that runs beside it. */
    readonly tokens?: TokenServerOptions;
    /** Whether it takes manifests of schema 1. */
    readonly schema1?: boolean;
    /** PEM texts: it speaks TLS. */
    readonly tls?: { readonly certificate: string; readonly key: string };
}

/** A request as the registry has logged it when it was done. */
export interface RegistryAccess {
    readonly method: string;
    /** With its query. */
    readonly target: string;
    readonly status: number;
    /** Bytes of the answer's body. */
    readonly bytes: number;
}

const ACCESS_LINE = /"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+) /;

/** The salt only needs to be different from one password to the next. */
function bcrypt(password: string): string {
    const salt = Buffer.from(password).toString('hex').padEnd(22, 'a').slice(0, 21);
    // The C library knows it, and perl is on every Debian.
    const script = 'print crypt($ARGV[0], q($2y$05$) . $ARGV[1] . q(u))';
    const hash = execFileSync('perl', ['-e', script, password, salt], { encoding: 'utf8' });
    if (!hash.startsWith('$2y$')) throw new Error('the C library has no bcrypt');
    return hash;
}

/** Debian's Docker registry on a loopback port, with its data in a temporary directory. */
export class DockerRegistry {
    readonly port: number;
    readonly tokens: TokenServer | undefined;
    /** Requests it is done with. */
    readonly accesses: RegistryAccess[] = [];
    readonly #directory = temporaryDirectory();
    readonly #options: DockerRegistryOptions;
    #child: ChildProcess | undefined;
    #noise = '';

    private constructor(port: number, options: DockerRegistryOptions) {
        this.port = port;
        this.#options = options;
        this.tokens = options.tokens === undefined ? undefined : new TokenServer(options.tokens);
    }

    /** Starts a registry, which is removed with the test. */
    static async start(
        t: Pick<Test, 'teardown'>,
        options: DockerRegistryOptions = {},
    ): Promise<DockerRegistry> {
        const registry = new DockerRegistry(await freePort(), options);
        t.teardown(() => registry.#remove());
        await registry.tokens?.start();
        writeFileSync(registry.#path('config.yml'), JSON.stringify(registry.#configuration()));
        await registry.start();
        return registry;
    }

    /** As names of images have it: `127.0.0.1:15000`. */
    get host(): string {
        return `127.0.0.1:${this.port}`;
    }

    get url(): string {
        return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.host}`;
    }

    /** Starts it, again after `stop`, and waits until it answers. */
    async start(): Promise<void> {
        const child = spawn('docker-registry', ['serve', this.#path('config.yml')], {
            stdio: ['ignore', 'pipe', 'pipe'],
            env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
        });
        running.add(child);
        child.once('exit', () => running.delete(child));
        child.stderr.on(
            'data',
            (chunk: Buffer) => (this.#noise = (this.#noise + chunk.toString()).slice(-10_000)),
        );
        createInterface({ input: child.stdout }).on('line', (line) => this.#take(line));
        this.#child = child;
        await eventually('docker-registry', START_LIMIT_MS, () => {
            if (!running.has(child)) throw new Error(`docker-registry ended: ${this.#noise}`);
            return this.#answers();
        });
        this.accesses.length = 0;
    }

    /** Kills it and waits until it is gone; what it has stays. */
    async stop(): Promise<void> {
        const child = this.#child;
        if (child === undefined || !running.has(child)) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
    }

    async #remove(): Promise<void> {
        await this.stop();
        await this.tokens?.stop();
        rmSync(this.#directory, { recursive: true, force: true });
    }

    #path(name: string): string {
        return join(this.#directory, name);
    }

    /** JSON is YAML, too. */
    #configuration(): object {
        const { tls, schema1 = false } = this.#options;
        const auth = this.#authentication();
        const file = (name: string, text: string): string => {
            writeFileSync(this.#path(name), text);
            return this.#path(name);
        };
        return {
            version: 0.1,
            log: { level: 'warn' },
            storage: {
                filesystem: { rootdirectory: this.#path('data') },
                delete: { enabled: true },
                redirect: { disable: true },
                maintenance: { uploadpurging: { enabled: false } },
            },
            http: {
                addr: this.host,
                ...(tls === undefined
                    ? {}
                    : {
                          tls: {
                              certificate: file('certificate.pem', tls.certificate),
                              key: file('key.pem', tls.key),
                          },
                      }),
            },
            compatibility: { schema1: { enabled: schema1 } },
            ...(auth === undefined ? {} : { auth }),
        };
    }

    #authentication(): object | undefined {
        const { basic } = this.#options;
        if (basic !== undefined) {
            const users = Object.entries(basic).map(([name, password]) => `${name}:${bcrypt(password)}\n`);
            writeFileSync(this.#path('users'), users.join(''));
            return { htpasswd: { realm: 'registry of the tests', path: this.#path('users') } };
        }
        if (this.tokens === undefined) return undefined;
        const { realm, service, issuer, certificate } = this.tokens;
        writeFileSync(this.#path('token.pem'), certificate);
        return { token: { realm, service, issuer, rootcertbundle: this.#path('token.pem') } };
    }

    #take(line: string): void {
        const [, method, target = '', status, bytes] = ACCESS_LINE.exec(line) ?? [];
        if (method === undefined) return;
        this.accesses.push({ method, target, status: Number(status), bytes: Number(bytes) });
    }

    /** Any answer will do, be it a refusal. */
    async #answers(): Promise<boolean> {
        return new RegistryClient(this.url).request('GET', '').then(
            () => true,
            () => false,
        );
    }
}
