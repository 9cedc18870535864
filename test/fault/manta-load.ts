import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { MantaProcess } from '../doubles/manta/manta-process.js';
import type { Document } from '../helpers/http-client.js';
import { HttpClient } from '../helpers/http-client.js';
import { imageDirectory, UNKNOWN } from '../helpers/images.js';
import { startMantaProcess } from '../helpers/manta-place.js';
import { eventually, freePort, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { filesBelow } from './kill-cycles.js';
import { createKey } from '../helpers/signing.js';
import { OutageFigures, type Touched } from './outage-figures.js';
import { StorageClient } from './storage-client.js';
import { ANSWER_LIMIT_MS, underLoad } from './under-load.js';

/** Longest time without a byte from the server: longer than it waits for Manta. */
const SILENCE_LIMIT_MS = 90_000;
/** Local images do without Manta: no answer about them waits for it, which takes 15 s where it is silent. */
const SLOWEST_LOCAL_MS = 10_000;
/** How long the first passes after a start may take, milliseconds. */
const PASSES_LIMIT_MS = 30_000;
/** What an idle server may have open more than before. */
const MORE_DESCRIPTORS = 8;
const MAX_RSS_MIB = 500;

/** Storages of the clients, in turn: half of them local, the others in Manta, one of those in both. */
const STORAGES: readonly (readonly Touched[])[] = [['local'], ['manta'], ['local'], ['local', 'manta']];

const KEY = createKey('operator');

/** How to start a {@link MantaLoad}. */
export interface MantaLoadOptions {
    readonly clients: number;
    readonly maxSockets: number;
}

/** Starts a server that keeps images both on its disk and in a Manta at this address. */
export function startBoth(
    manta: object,
    baseDir: string,
    more: Readonly<Record<string, unknown>> = {},
): Promise<ServerProcess> {
    const authKeys = { operator: [KEY.publicLine] };
    const config = { authKeys, storageTypes: ['local', 'manta'], manta, ...more };
    return ServerProcess.start({ baseDir, config });
}

/** Leaves an entry of the journal for the first pass; where it lies. */
function leaveDelete(baseDir: string): string {
    const directory = join(baseDir, 'run', 'deletes');
    mkdirSync(directory, { recursive: true });
    const entry = { uuid: UNKNOWN, files: [{ stor: 'local', name: 'file0' }] };
    writeFileSync(join(directory, `${UNKNOWN}.0123456789abcdef.json`), JSON.stringify(entry));
    return directory;
}

/** A client that may see which storage bytes are in, and waits for as long as it takes. */
export function connectTo(server: ServerProcess): HttpClient {
    return new HttpClient(server.port, KEY, SILENCE_LIMIT_MS);
}

/** Clients with images on the disk and in Manta, and the server and the Manta that they use. */
export class MantaLoad {
    readonly figures = new OutageFigures();
    /** The Manta of the moment. */
    double: MantaProcess;
    /** Starts another Manta in the place of one that ended. */
    readonly again: () => Promise<MantaProcess>;
    readonly clients: readonly StorageClient[];
    readonly #start: () => Promise<ServerProcess>;
    readonly #baseDir: string;
    readonly #images: string;
    readonly #metricsPort: number;
    #server: ServerProcess;

    private constructor(facts: {
        readonly double: MantaProcess;
        readonly again: () => Promise<MantaProcess>;
        readonly start: () => Promise<ServerProcess>;
        readonly server: ServerProcess;
        readonly clients: number;
        readonly baseDir: string;
        readonly images: string;
        readonly metricsPort: number;
    }) {
        this.double = facts.double;
        this.again = facts.again;
        this.#start = facts.start;
        this.#server = facts.server;
        this.#baseDir = facts.baseDir;
        this.#images = facts.images;
        this.#metricsPort = facts.metricsPort;
        this.clients = Array.from({ length: facts.clients }, (_, index) => {
            const stors = STORAGES[index % STORAGES.length] ?? ['local'];
            return new StorageClient(this.#connect(), stors, this.figures);
        });
    }

    /** Starts all; it ends with the test, and the server must end cleanly. */
    static async start(test: Test, { clients, maxSockets }: MantaLoadOptions): Promise<MantaLoad> {
        const { double, again, config, root } = await startMantaProcess(test);
        const baseDir = temporaryDirectory();
        const metricsPort = await freePort();
        const start = (): Promise<ServerProcess> =>
            startBoth(config, baseDir, { maxSockets, metrics: { port: metricsPort } });
        const images = `${root}/imgapi/images`;
        const deletes = leaveDelete(baseDir);
        const server = await start();
        // The next pass is minutes away: one that is at an image when Manta falls silent keeps it waiting.
        await eventually('the first pass', PASSES_LIMIT_MS, () => filesBelow(deletes).length === 0);
        const load = new MantaLoad({ double, again, start, server, clients, baseDir, images, metricsPort });
        test.teardown(async () => {
            await expectCleanEnd(load.#server).finally(() =>
                rmSync(baseDir, { recursive: true, force: true }),
            );
        });
        return load;
    }

    get server(): ServerProcess {
        return this.#server;
    }

    /** Lets the clients work until `disturb` is over. */
    async run(
        disturb: Parameters<typeof underLoad<'local' | 'manta' | 'unavailable' | 'cut'>>[2],
    ): Promise<void> {
        await underLoad(this.clients, this.figures, disturb);
    }

    /** What the server has open when nobody asks anything of it and Manta has cut its connections. */
    async descriptors(): Promise<number> {
        this.clients.forEach(({ server }) => server.close());
        await this.double.cutConnections();
        return readdirSync(`/proc/${this.#server.pid}/fd`).length;
    }

    /** Nothing must stay open because of what went wrong. @param before from {@link descriptors} */
    async expectDescriptors(test: Test, before: number): Promise<void> {
        const most = before + MORE_DESCRIPTORS;
        const now = await eventually(`at most ${most} descriptors`, ANSWER_LIMIT_MS, async () => {
            const count = await this.descriptors();
            return count <= most && count;
        });
        const status = readFileSync(`/proc/${this.#server.pid}/status`, 'utf8');
        const rss = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
        test.ok(rss < MAX_RSS_MIB, `the server has ${rss.toFixed(0)} MiB`);
        test.comment(`descriptors: ${before} before, ${now} after; ${rss.toFixed(0)} MiB`);
    }

    /** While Manta is away, the server says so and serves what it has. */
    async expectDegraded(test: Test): Promise<void> {
        const client = this.#connect();
        const health = await client.get('/health');
        const { status, checks } = health.document as { status: string; checks: Record<string, Document> };
        test.same([health.status, status], [200, 'degraded'], 'health');
        test.equal(checks['stor.manta']?.['ok'], false, 'health of Manta');
        test.equal(checks['stor.local']?.['ok'], true, 'health of the disk');
        const ping = await client.get('/ping');
        test.equal(ping.status, 200, 'ping');
        const metrics = await new HttpClient(this.#metricsPort).get('/metrics');
        test.match(metrics.text, /^imgapi_dependency_up\{dependency="stor.manta"[^}]*\} 0$/m, 'metrics');
    }

    /** Reports are kept for some seconds. */
    async expectHealthy(): Promise<void> {
        const client = this.#connect();
        await eventually('health', ANSWER_LIMIT_MS, async () => {
            const { status } = (await client.get('/health')).document;
            return status === 'ok';
        });
    }

    /** Nobody was answered anything that must not be, and nobody waited for too long. */
    expectAnswers(test: Test): void {
        const { figures } = this;
        figures.report(test);
        test.same(figures.problems, []);
        const slowest = figures.slowest('local');
        test.ok(slowest < SLOWEST_LOCAL_MS, `the slowest local answer took ${slowest.toFixed(0)} ms`);
        test.ok(this.#server.alive, 'the server runs on');
    }

    /** After a new start every image is what was acknowledged, with its bytes, and there is nothing else. */
    async expectAcknowledged(test: Test): Promise<void> {
        await expectCleanEnd(this.#server);
        this.#server = await this.#start();
        for (const client of this.clients) {
            client.server = this.#connect();
            await eventually(`the state of ${client.uuid}`, PASSES_LIMIT_MS, () => client.resolve());
            test.ok(await client.readAll(), 'all bytes can be read');
        }
        test.same(this.figures.problems, []);
        const run = ['deletes', 'uploads', 'clones', 'exports'].map((name) =>
            join(this.#baseDir, 'run', name),
        );
        await eventually('the passes', PASSES_LIMIT_MS, () => run.flatMap(filesBelow).length === 0);
        test.strictSame(
            await this.double.objects(this.#images),
            this.#paths('manta', (uuid) => `${this.#images}/${uuid.slice(0, 3)}/${uuid}`),
            'objects in Manta',
        );
        test.strictSame(
            filesBelow(join(this.#baseDir, 'images')).sort(),
            this.#paths('local', (uuid) => imageDirectory(this.#baseDir, uuid)),
            'files on the disk',
        );
    }

    #paths(stor: Touched, directoryOf: (uuid: string) => string): string[] {
        return this.clients
            .flatMap((client) => client.namesIn(stor).map((name) => `${directoryOf(client.uuid)}/${name}`))
            .sort();
    }

    #connect(): HttpClient {
        return connectTo(this.#server);
    }
}
