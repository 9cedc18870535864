import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { HttpClient } from './http-client.js';
import { rawRecord, writeFixtureBytes, writeFixtures, type Fixture } from './images.js';
import { PRIVATE_IMAGES, PUBLIC_IMAGES } from './listing-images.js';
import { freePort, LIMIT_MS, ServerProcess, temporaryDirectory } from './server-process.js';
import { expectCleanEnd } from './start-server.js';

/** The operator's account of the datacenter. */
export const ADMIN = '930896af-bf8c-48d4-885c-6573a94b1853';

/** The six images of a datacenter (operations 6.1), with files that are what their records say. */
export const DC_IMAGES: readonly Fixture[] = [...PUBLIC_IMAGES, ...PRIVATE_IMAGES.slice(0, 3)];

/** A Moray for records, and how a test puts records there and looks at them. */
export interface MorayPlace {
    readonly host: string;
    readonly port: number;
    put(uuid: string, raw: Readonly<Record<string, unknown>>): Promise<void>;
    /** All that is stored under a uuid, its version included; `undefined`: nothing. */
    read(uuid: string): Promise<string | undefined>;
}

/** How to start a datacenter's servers; everything is optional. */
export interface DatacenterOptions {
    /** Keys of the config file over those of {@link datacenterConfig}. */
    readonly config?: Readonly<Record<string, unknown>>;
    /** Images there from the start; default: {@link DC_IMAGES}. */
    readonly images?: readonly Fixture[];
    /** Server processes on the one base directory; default: 1. */
    readonly processes?: number;
    /** Absent: records are kept in files, by one of the processes. */
    readonly moray?: MorayPlace;
    /** The user database; absent: one of its own, with the users of the tests. */
    readonly ufds?: UfdsDouble;
}

/** A datacenter's running servers. */
export interface Datacenter {
    readonly baseDir: string;
    readonly servers: readonly ServerProcess[];
    /** The first of them. */
    readonly server: ServerProcess;
    /** A client of the first server; nothing is signed in a datacenter. */
    readonly client: HttpClient;
    readonly ufds: UfdsDouble;
    /** Port of the first server's metrics listener. */
    readonly metricsPort: number;
    /** An image's record exactly as it is stored; `undefined`: there is none. */
    record(uuid: string): Promise<string | undefined>;
}

/** Every key that mode dc asks for; whoever starts a server adds a port for the metrics. */
export function datacenterConfig(
    ufds: UfdsDouble['config'],
    options: DatacenterOptions = {},
): Record<string, unknown> {
    const { moray } = options;
    return {
        mode: 'dc',
        authType: 'none',
        datacenterName: 'testdc',
        serviceName: 'imgapi',
        instanceUuid: '6d0e5b2c-0f0d-4d0e-9c0e-0c3b2ad1a8a1',
        serverUuid: '44454c4c-5400-1034-8053-b5c04f383432',
        adminIp: '127.0.0.1',
        adminUuid: ADMIN,
        ufds,
        moray: moray === undefined ? { host: '127.0.0.1', port: 1 } : { host: moray.host, port: moray.port },
        databaseType: moray === undefined ? 'local' : 'moray',
        ...options.config,
    };
}

function readLocalRecord(baseDir: string, uuid: string): string | undefined {
    const path = join(baseDir, 'manifests', `${uuid}.raw`);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/**
 * Starts the servers of a datacenter with its images. At the end of the test file each must still run
 * and end cleanly.
 */
export async function startDatacenter(t: Test, options: DatacenterOptions = {}): Promise<Datacenter> {
    t.setTimeout(LIMIT_MS);
    const { moray, images = DC_IMAGES, processes = 1 } = options;
    const baseDir = temporaryDirectory();
    const ufds = options.ufds ?? (await UfdsDouble.start());
    const servers: ServerProcess[] = [];
    t.teardown(async () => {
        const ends = await Promise.allSettled(servers.map(expectCleanEnd));
        if (options.ufds === undefined) await ufds.stop();
        rmSync(baseDir, { recursive: true, force: true });
        const failure = ends.find((end) => end.status === 'rejected');
        if (failure !== undefined) throw failure.reason;
    });
    if (moray === undefined) writeFixtures(baseDir, images);
    else writeFixtureBytes(baseDir, images);
    const metricsPort = await freePort();
    for (let i = 0; i < processes; i++) {
        const metrics = { port: i === 0 ? metricsPort : await freePort() };
        const config = { metrics, ...datacenterConfig(ufds.config, options) };
        servers.push(await ServerProcess.start({ baseDir, config }));
    }
    // Now that a server has made the bucket.
    for (const fixture of images) await moray?.put(fixture.uuid, rawRecord(fixture));
    const [server] = servers;
    if (server === undefined) throw new Error('no server was asked for');
    return {
        baseDir,
        servers,
        server,
        client: new HttpClient(server.port),
        ufds,
        metricsPort,
        record: (uuid) => moray?.read(uuid) ?? Promise.resolve(readLocalRecord(baseDir, uuid)),
    };
}
