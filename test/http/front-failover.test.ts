// Two processes on one base directory behind HAProxy: the end of one, sudden or in order (operations 1.4, 4.7).
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, json } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { frontClient, type FrontAnswer, type FrontClient } from '../helpers/front-client.js';
import { exchange, Load } from '../helpers/front-load.js';
import { FrontServer, listens, writePair } from '../helpers/front-server.js';
import { HaproxyStats } from '../helpers/haproxy-stats.js';
import {
    FATHER,
    imageDirectory,
    manifest,
    sha1Hex,
    USERS,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import { missingPrograms } from '../helpers/programs.js';
import { selfSigned } from '../helpers/self-signed.js';
import {
    eventually,
    freePort,
    LIMIT_MS,
    ServerProcess,
    temporaryDirectory,
} from '../helpers/server-process.js';

t.setTimeout(2 * LIMIT_MS);

/** How long nobody can write after the sudden end of the writer: a lock found stale, a check that passes. */
const WITHOUT_WRITER_MS = 8000;
const UPLOADS = 10;
const DOWNLOADS = 10;
const MiB = 1_048_576;
const FILE = Buffer.alloc(8 * MiB, 'taken slowly ');
const PUBLISHED: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: FILE,
};
const UPLOAD = Buffer.alloc(2 * MiB, 'given slowly ');
/** Checks as often as in the sample, with the delay that the guide names; or more often, to be quick. */
const SAMPLE_CHECKS = process.env['FRONT_CHECKS'] === 'sample';
const DRAIN_DELAY_SEC = SAMPLE_CHECKS ? 12 : 1;

const PAIR = selfSigned('localhost');

/** What the sample has, but quicker, and with less room on the way: a client that does not read is noticed. */
function quick(config: string): string {
    const checks = config.replace('inter 5s', 'inter 200ms').replace('inter 2s', 'inter 200ms');
    return (SAMPLE_CHECKS ? config : checks).replace(
        /^global$/m,
        'global\n    tune.sndbuf.client 262144\n    tune.rcvbuf.server 262144',
    );
}

/** A base directory with an image, and HAProxy in front of the two ports where its processes are to be. */
class Bench {
    readonly baseDir = temporaryDirectory();
    readonly stats: HaproxyStats;
    readonly #t: Test;
    readonly #ports: readonly [number, number];
    readonly #front: FrontServer;

    private constructor(t: Test, ports: readonly [number, number], front: FrontServer, statsPort: number) {
        this.#t = t;
        this.#ports = ports;
        this.#front = front;
        this.stats = new HaproxyStats(statsPort);
        writeFixtures(this.baseDir, [PUBLISHED]);
        t.teardown(() => rmSync(this.baseDir, { recursive: true, force: true }));
        t.teardown(() => front.stop());
    }

    static async start(t: Test): Promise<Bench> {
        const pem = join(t.testdir({}), 'cert.pem');
        writePair(pem, PAIR);
        const ports = [await freePort(), await freePort()] as const;
        const [httpsPort, statsPort] = [await freePort(), await freePort()];
        const settings = { pem, httpsPort, proxyPort: null, statsPort, serverPorts: ports };
        return new Bench(t, ports, await FrontServer.haproxy(settings, quick), statsPort);
    }

    /** Starts a process on one of the two ports; ready when HAProxy has found it. */
    async server(index: 0 | 1, role: 'writer' | 'reader'): Promise<ServerProcess> {
        const port = this.#ports[index];
        const server = await ServerProcess.start({
            baseDir: this.baseDir,
            config: { port, authType: 'none', drainDelaySec: DRAIN_DELAY_SEC, shutdownTimeoutSec: 90 },
        });
        this.#t.teardown(() => server.stop());
        await this.found(index, 'imgapi_read');
        if (role === 'writer') await this.found(index, 'imgapi_write');
        return server;
    }

    found(index: 0 | 1, backend: string): Promise<boolean> {
        return eventually(`be${index} in ${backend}`, 30_000, () => this.stats.isUp(backend, `be${index}`));
    }

    listens(index: 0 | 1): Promise<boolean> {
        return listens(this.#ports[index]);
    }

    client(version: 'HTTP/1.1' | 'h2' = 'HTTP/1.1'): FrontClient {
        const client = frontClient(version, { port: this.#front.port, ca: PAIR.certificate });
        this.#t.teardown(() => client.close());
        return client;
    }

    /** Reads as long as the test wants: on kept connections of both versions. */
    load(): Load {
        return new Load([this.client(), this.client('h2')], `/images/${FATHER}`);
    }
}

async function create(client: FrontClient): Promise<{ readonly status: number; readonly uuid: string }> {
    const { status, body } = await exchange(client, 'POST', '/images', {
        headers: { 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify(manifest())),
    });
    return { status, uuid: String((JSON.parse(body.toString()) as { readonly uuid?: string }).uuid) };
}

const skip = missingPrograms('haproxy');

await t.test('the writer is killed: reads go on, and writes after some seconds', { skip }, async (t) => {
    const bench = await Bench.start(t);
    const writer = await bench.server(0, 'writer');
    await bench.server(1, 'reader');
    const load = bench.load();
    const client = bench.client();
    const written: string[] = [];
    const write = async (): Promise<boolean> => {
        const { status, uuid } = await create(client);
        if (status === 200) written.push(uuid);
        else t.equal(status, 503, 'until then clients are told to come again');
        return status === 200;
    };
    for (let count = 0; count < 20; count += 1) t.ok(await write());
    const before = load.served;
    await writer.kill();
    const killedAt = Date.now();
    await eventually('writes go on', 30_000, write);
    const gap = Date.now() - killedAt;
    t.ok(gap < WITHOUT_WRITER_MS, `nobody could write for ${gap} ms`);
    t.comment(`nobody could write for ${gap} ms`);
    for (let count = 0; count < 20; count += 1) t.ok(await write());
    await eventually('reads have gone on', 10_000, () => load.served > before + 50);
    await load.stop();
    t.strictSame(load.failures, [], `${load.served} reads`);
    for (const uuid of written) {
        t.equal((await exchange(client, 'GET', `/images/${uuid}`)).status, 200);
    }
});

interface Upload {
    readonly uuid: string;
    /** Sends the second half. */
    readonly finish: () => void;
    /** Its document is read as it comes: an h2 stream of some versions of Node.js loses what waits too long. */
    readonly answer: Promise<{ readonly status: number; readonly document: unknown }>;
}

/** Uploads half a file, and waits. */
function halfUpload(client: FrontClient, uuid: string): Upload {
    let finish: () => void = () => undefined;
    const wanted = new Promise<void>((resolve) => (finish = resolve));
    async function* parts(): AsyncGenerator<Buffer> {
        yield UPLOAD.subarray(0, MiB);
        await wanted;
        yield UPLOAD.subarray(MiB);
    }
    const send = async (): Promise<{ status: number; document: unknown }> => {
        const { status, body } = await client.send('PUT', `/images/${uuid}/file?compression=none`, {
            headers: { 'content-length': String(UPLOAD.length) },
            body: Readable.from(parts()),
        });
        return { status, document: await json(body) };
    };
    return { uuid, finish, answer: send() };
}

await t.test('SIGTERM during ten slow uploads and ten slow downloads', { skip }, async (t) => {
    const bench = await Bench.start(t);
    const old = await bench.server(0, 'writer');
    const clients = [bench.client(), bench.client('h2')] as const;
    const client = (index: number): FrontClient => clients[index % 2 === 0 ? 0 : 1];
    const uploads: Upload[] = [];
    for (let index = 0; index < UPLOADS; index += 1) {
        uploads.push(halfUpload(client(index), (await create(client(index))).uuid));
    }
    const downloads: FrontAnswer[] = [];
    for (let index = 0; index < DOWNLOADS; index += 1) {
        downloads.push(await client(index).send('GET', `/images/${FATHER}/file`));
    }
    t.ok(downloads.every(({ status }) => status === 200));
    const begun = ({ uuid }: Upload): boolean => {
        const directory = imageDirectory(bench.baseDir, uuid);
        return existsSync(directory) && readdirSync(directory).length > 0;
    };
    await eventually('all uploads have begun', 20_000, () => uploads.every(begun));
    const next = await bench.server(1, 'reader');
    const load = bench.load();

    old.signal('SIGTERM');
    await eventually('it takes no connections any more', 60_000, async () => !(await bench.listens(0)));
    const before = load.served;
    await eventually('the other one serves', 10_000, () => load.served > before + 20);
    for (const { finish } of uploads) finish();
    for (const { answer } of uploads) {
        const { status, document } = await answer;
        t.equal(status, 200);
        t.match(document, { files: [{ size: UPLOAD.length, sha1: sha1Hex(UPLOAD) }] });
    }
    await bench.found(1, 'imgapi_write');
    t.ok(old.alive, 'while downloads go on, somebody else may write');
    t.equal((await create(bench.client())).status, 200);
    t.ok(old.alive);
    const files = await Promise.all(downloads.map(({ body }) => buffer(body)));
    t.ok(
        files.every((file) => file.equals(FILE)),
        'all downloads are whole',
    );
    t.match(await old.exited, { code: 0, signal: null });
    await load.stop();
    t.strictSame(load.failures, [], `${load.served} reads`);
    t.strictSame(await bench.stats.failures(), {}, 'HAProxy has seen no error');
    t.ok(next.alive);
});
