import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { MorayProcess } from '../test/doubles/moray/moray-process.js';
import { UfdsDouble } from '../test/doubles/ufds/ufds-double.js';
import { datacenterConfig } from '../test/helpers/datacenter.js';
import { HttpClient } from '../test/helpers/http-client.js';
import { ServerProcess, temporaryDirectory } from '../test/helpers/server-process.js';
import { cpuMs, median, percentile, report } from './measure.js';

/** An account the user database knows. */
const OWNER = '86055c40-2547-11e2-8a6b-4bb37edc84ba';
/** Clients at the same time, half of them on each server. */
const CLIENTS = 16;
/** Requests of one measurement. */
const REQUESTS = Number(process.env['REQUESTS'] ?? 2000);
const WARM_UP = 200;

const MANIFEST = {
    v: 2,
    owner: OWNER,
    name: 'base',
    version: '1.0.0',
    type: 'zone-dataset',
    os: 'smartos',
    public: true,
    description: 'An image as it might be published: with a description of a sentence or two, and some tags.',
    tags: { role: 'base', kernel_version: '4.3.0' },
};

/** A call to be measured; gets the number of the request. */
type Work = (client: HttpClient, n: number) => Promise<{ readonly status: number }>;

class Installation {
    readonly #clients: readonly HttpClient[];
    readonly #servers: readonly ServerProcess[];
    readonly #moray: MorayProcess;

    constructor(servers: readonly ServerProcess[], moray: MorayProcess) {
        const ports = servers.map(({ port }) => port);
        this.#clients = Array.from(
            { length: CLIENTS },
            (_, n) => new HttpClient(ports[n % ports.length] ?? 0),
        );
        this.#servers = servers;
        this.#moray = moray;
    }

    /** CPU time that the servers together, and Moray, have used so far, milliseconds. */
    #cpu(): { readonly servers: number; readonly moray: number } {
        const servers = this.#servers.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
        return { servers, moray: cpuMs(this.#moray.pid) };
    }

    /** Runs `count` calls, each client one after another. @throws Error for a status that is not 2xx */
    async run(count: number, work: Work): Promise<number[]> {
        const times: number[] = [];
        let next = 0;
        await Promise.all(
            this.#clients.map(async (client) => {
                while (next < count) {
                    const n = next;
                    next += 1;
                    const start = process.hrtime.bigint();
                    const { status } = await work(client, n);
                    times.push(Number(process.hrtime.bigint() - start) / 1e6);
                    if (status >= 300) throw new Error(`request ${n} was answered with ${status}`);
                }
            }),
        );
        return times;
    }

    /** Measures and reports calls; `warmUp: 0` for those that can be made only once. */
    async measure(what: string, work: Work, count = REQUESTS, warmUp = WARM_UP): Promise<void> {
        await this.run(warmUp, work);
        const before = await this.#moray.rpcCounts();
        const cpuBefore = this.#cpu();
        const start = process.hrtime.bigint();
        const times = await this.run(count, work);
        const seconds = Number(process.hrtime.bigint() - start) / 1e9;
        const cpu = this.#cpu();
        const after = await this.#moray.rpcCounts();
        const [own, itsOwn] = [cpu.servers - cpuBefore.servers, cpu.moray - cpuBefore.moray];
        const rpcs = (after.total - before.total) / count;
        report(
            what,
            `${(count / seconds).toFixed(0)} requests/s, median ${median(times).toFixed(1)} ms, ` +
                `p99 ${percentile(times, 0.99).toFixed(1)} ms, ${rpcs.toFixed(2)} RPCs a request; ` +
                `CPU a request: server ${(own / count).toFixed(2)} ms, Moray ${(itsOwn / count).toFixed(2)} ms`,
        );
    }
}

/** Uuids of new images, unactivated and without files. */
async function createImages(installation: Installation, count: number): Promise<string[]> {
    const uuids = Array.from({ length: count }, () => randomUUID());
    await installation.run(count, (client, n) =>
        client.post(`/images/${uuids[n]}?action=import`, {
            ...MANIFEST,
            uuid: uuids[n],
            name: `base-${n}`,
            // Apart from each other, as images that people publish are.
            published_at: new Date(Date.UTC(2020, 0, 1) + n * 3_600_000).toISOString(),
        }),
    );
    return uuids;
}

async function measureReads(installation: Installation, uuids: readonly string[]): Promise<void> {
    const one = (n: number): string => uuids[n % uuids.length] ?? '';
    await installation.measure('ping', (client) => client.get('/ping'));
    await installation.measure('GetImage', (client, n) => client.get(`/images/${one(n)}`));
    await installation.measure('GetImageFile, 1 kB', (client, n) => client.get(`/images/${one(n)}/file`));
    await installation.measure('ListImages, limit=100', (client) => client.get('/images?limit=100'), 400, 20);
    await installation.measure('ListImages by name', (client, n) =>
        client.get(`/images?name=base-${n % 500}&account=${OWNER}`),
    );
}

/** Every measurement of this kind is for its own images, so that no two clients contend for one. */
async function measureWrites(installation: Installation): Promise<void> {
    const body = Buffer.alloc(1000, 'x');
    const json = { ...MANIFEST };
    await installation.measure('CreateImage', (client) => client.post('/images', json));
    const imported = Array.from({ length: REQUESTS }, () => randomUUID());
    const importOne: Work = (client, n) =>
        client.post(`/images/${imported[n]}?action=import`, { ...json, uuid: imported[n] });
    await installation.measure('AdminImportImage', importOne, REQUESTS, 0);
    const addFile: Work = (client, n) => client.put(`/images/${imported[n]}/file?compression=none`, body);
    await installation.measure('AddImageFile, 1 kB', addFile, REQUESTS, 0);
    const activate: Work = (client, n) => client.post(`/images/${imported[n]}?action=activate`);
    await installation.measure('ActivateImage', activate, REQUESTS, 0);
    const update: Work = (client, n) =>
        client.post(`/images/${imported[n]}?action=update`, { description: `number ${n}` });
    await installation.measure('UpdateImage', update, REQUESTS, 0);
    const share: Work = (client, n) => client.post(`/images/${imported[n]}/acl`, [randomUUID()]);
    await installation.measure('AddImageAcl', share, REQUESTS, 0);
    const remove: Work = (client, n) => client.delete(`/images/${imported[n]}`);
    await installation.measure('DeleteImage, with a file', remove, REQUESTS, 0);
}

/** Two servers that share one Moray: requests a second, and calls of Moray a request. */
export async function benchDatacenter(): Promise<void> {
    const baseDir = temporaryDirectory();
    const moray = await MorayProcess.start();
    const ufds = await UfdsDouble.start();
    const config = {
        ...datacenterConfig(ufds.config),
        databaseType: 'moray',
        moray: { host: '127.0.0.1', port: moray.port },
        metrics: { port: 0 },
    };
    const servers: ServerProcess[] = [];
    try {
        for (let n = 0; n < 2; n += 1) {
            servers.push(await ServerProcess.start({ baseDir, config }));
        }
        const installation = new Installation(servers, moray);
        const uuids = await createImages(installation, 1000);
        await installation.run(uuids.length, (client, n) =>
            client.put(`/images/${uuids[n]}/file?compression=none`, Buffer.alloc(1000, 'x')),
        );
        await installation.run(uuids.length, (client, n) =>
            client.post(`/images/${uuids[n]}?action=activate`),
        );
        await measureReads(installation, uuids);
        await measureWrites(installation);
    } finally {
        for (const server of servers) await server.stop();
        await ufds.stop();
        await moray.stop();
        rmSync(baseDir, { recursive: true, force: true });
    }
}
