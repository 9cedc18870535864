import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { freePort } from './server-process.js';

/** Long, because after a crash PostgreSQL first syncs every file it has. */
const START_LIMIT_MS = 60_000;
const VERSIONS_DIRECTORY = '/usr/lib/postgresql';
/** PostgreSQL does not run as root; this user is on every system and owns nothing. */
const NOBODY = 65_534;

/** Clusters that still run; none may outlive the test that started it, however that ends. */
const running = new Set<PostgresCluster>();
process.once('exit', () => {
    for (const cluster of running) cluster.destroy();
});

function isExecutable(path: string): boolean {
    try {
        accessSync(path, constants.X_OK);
        return true;
    } catch {
        return false;
    }
}

/** Directory of PostgreSQL's programs: the newest of Debian's, else one of PATH. */
function programDirectory(): string | undefined {
    let versions: readonly string[];
    try {
        versions = readdirSync(VERSIONS_DIRECTORY);
    } catch {
        versions = [];
    }
    const newestFirst = versions.toSorted((left, right) => Number(right) - Number(left));
    const candidates = [
        ...newestFirst.map((version) => join(VERSIONS_DIRECTORY, version, 'bin')),
        ...(process.env['PATH'] ?? '').split(':'),
    ];
    return candidates.find(
        (path) => isExecutable(join(path, 'initdb')) && isExecutable(join(path, 'postgres')),
    );
}

/** Why tests cannot have a PostgreSQL, for `skip`; `false` when they can. */
export function postgresMissing(): string | false {
    return programDirectory() === undefined && 'PostgreSQL (initdb, postgres) is not installed';
}

/** Whom PostgreSQL's programs run as: this user, or nobody when this is root. */
function asOrdinaryUser(): SpawnOptions {
    return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** A PostgreSQL of its own, on a free port of 127.0.0.1 and in a temporary directory. */
export class PostgresCluster {
    readonly port: number;
    readonly #programs: string;
    readonly #directory: string;
    #server: ChildProcess | undefined;
    #databases = 0;

    private constructor(programs: string, directory: string, port: number) {
        this.#programs = programs;
        this.#directory = directory;
        this.port = port;
    }

    /** Makes and starts a cluster. Text is ordered by its bytes (locale C), as in Moray's databases. */
    static async start(): Promise<PostgresCluster> {
        const programs = programDirectory();
        if (programs === undefined) throw new Error(String(postgresMissing()));
        const directory = mkdtempSync(join(tmpdir(), 'imgapi-postgres-'));
        const cluster = new PostgresCluster(programs, directory, await freePort());
        running.add(cluster);
        cluster.#initialize();
        await cluster.up();
        return cluster;
    }

    /** Makes an empty database and resolves to its URL. It is a schema, which takes no time to make. */
    async createDatabase(): Promise<string> {
        const name = `test_${++this.#databases}`;
        const url = `postgres://postgres@127.0.0.1:${this.port}/postgres`;
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        try {
            await client.query(`CREATE SCHEMA ${name}`);
        } finally {
            await client.end();
        }
        return `${url}?options=-c%20search_path%3D${name}`;
    }

    /** Starts the server, again after `crash`, and waits until it takes connections. */
    async up(): Promise<void> {
        const settings = {
            listen_addresses: '127.0.0.1',
            port: this.port,
            unix_socket_directories: '',
            fsync: 'on',
            shared_buffers: '32MB',
            max_connections: 100,
            jit: 'off',
        };
        const server = spawn(
            join(this.#programs, 'postgres'),
            [
                '-D',
                this.#data,
                ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
            ],
            { ...asOrdinaryUser(), cwd: this.#directory, stdio: ['ignore', 'ignore', 'pipe'] },
        );
        this.#server = server;
        await untilReady(server);
    }

    /** Ends the server without any goodbye, as a power cut does; the data stays for `up`. */
    async crash(): Promise<void> {
        await this.#end('SIGQUIT');
    }

    /** Ends the server and removes everything. */
    async stop(): Promise<void> {
        await this.#end('SIGINT');
        this.destroy();
    }

    /** For the end of the process: kills at once and removes the directory. */
    destroy(): void {
        running.delete(this);
        this.#server?.kill('SIGQUIT');
        // Tried again while a server that was just killed still makes files.
        rmSync(this.#directory, { recursive: true, force: true, maxRetries: 20 });
    }

    get #data(): string {
        return join(this.#directory, 'data');
    }

    #initialize(): void {
        mkdirSync(this.#data, { mode: 0o700 });
        if (process.getuid?.() === 0) {
            for (const path of [this.#directory, this.#data]) chownSync(path, NOBODY, NOBODY);
        }
        const choices = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
        const made = spawnSync(join(this.#programs, 'initdb'), ['-D', this.#data, ...choices], {
            ...asOrdinaryUser(),
            cwd: this.#directory,
            encoding: 'utf8',
            timeout: START_LIMIT_MS,
        });
        if (made.status !== 0) throw new Error(`initdb failed: ${made.stdout}${made.stderr}`);
    }

    async #end(signal: NodeJS.Signals): Promise<void> {
        const server = this.#server;
        this.#server = undefined;
        if (server?.exitCode !== null || server.signalCode !== null) return;
        const exited = once(server, 'exit');
        server.kill(signal);
        await exited;
    }
}

/** Waits for the line with which the server says that it takes connections. */
async function untilReady(server: ChildProcess): Promise<void> {
    if (server.stderr === null) throw new Error('no output of postgres');
    const said: string[] = [];
    const lines = createInterface({ input: server.stderr });
    const timer = setTimeout(() => server.kill('SIGKILL'), START_LIMIT_MS);
    try {
        await new Promise<void>((resolve, reject) => {
            lines.on('line', (line) => {
                // After it is up, lines are read so that the pipe never fills, and forgotten.
                if (said.length < 1000) said.push(line);
                if (line.includes('ready to accept connections')) resolve();
            });
            server.once('exit', () => reject(new Error(`postgres did not start: ${said.join('\n')}`)));
            server.once('error', reject);
        });
    } finally {
        clearTimeout(timer);
    }
}
