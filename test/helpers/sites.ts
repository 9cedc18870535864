import { rmSync } from 'node:fs';
import type { Test } from 'tap';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { datacenterConfig, type MorayPlace } from './datacenter.js';
import { HttpClient } from './http-client.js';
import { writeFixtures, type Fixture } from './images.js';
import { LineReader } from './line-reader.js';
import { LIMIT_MS, ServerProcess, temporaryDirectory } from './server-process.js';
import { expectCleanEnd } from './start-server.js';
import { TcpRelay } from './tcp-relay.js';

/** Short waits between the tries of a transfer, and so many that a server may take its time to start again. */
const QUICK = { backoffMinMs: 20, backoffMaxMs: 200, retries: 100 };

/** One of several datacenters with a server each, which others reach through a relay. */
export class Site {
    readonly name: string;
    readonly baseDir: string;
    readonly relay: TcpRelay;
    server: ServerProcess;
    client: HttpClient;
    readonly #config: Readonly<Record<string, unknown>>;

    constructor(
        name: string,
        server: ServerProcess,
        relay: TcpRelay,
        config: Readonly<Record<string, unknown>>,
    ) {
        this.name = name;
        this.baseDir = server.baseDir;
        this.relay = relay;
        this.server = server;
        this.client = new HttpClient(server.port);
        this.#config = config;
    }

    /** Where the others find it. */
    get url(): string {
        return this.relay.url;
    }

    /** Kills the server as a power cut does. */
    async kill(): Promise<void> {
        await this.server.kill();
        this.client.close();
    }

    /** Starts a server on what the last one has left. */
    async restart(): Promise<void> {
        this.server = await ServerProcess.start({ baseDir: this.baseDir, config: this.#config });
        this.relay.target = this.server.port;
        this.client = new HttpClient(this.server.port);
    }

    /** Asks for a stream of lines. */
    stream(path: string): Promise<LineReader> {
        return LineReader.open(this.client, path, {}, 'POST');
    }
}

/** What a site is started with. */
export interface SiteOptions {
    readonly images?: readonly Fixture[];
    /** Absent: its records are kept in files. */
    readonly moray?: MorayPlace;
    readonly config?: Readonly<Record<string, unknown>>;
}

async function startSite(
    t: Test,
    name: string,
    urls: Readonly<Record<string, string>>,
    ufds: UfdsDouble,
    relay: TcpRelay,
    { images = [], moray, config }: SiteOptions,
): Promise<Site> {
    const baseDir = temporaryDirectory();
    writeFixtures(baseDir, images);
    const whole = {
        metrics: { port: 0 },
        ...datacenterConfig(ufds.config, {
            ...(moray === undefined ? {} : { moray }),
            config: { datacenterName: name, imgapiUrlFromDatacenter: urls, jobs: QUICK, ...config },
        }),
    };
    const server = await ServerProcess.start({ baseDir, config: whole });
    relay.target = server.port;
    const site = new Site(name, server, relay, whole);
    t.teardown(async () => {
        site.client.close();
        await relay.stop();
        await expectCleanEnd(site.server).finally(() => rmSync(baseDir, { recursive: true, force: true }));
    });
    return site;
}

/**
 * Starts datacenters that know each other, with one user database. At the end of the test file the server of
 * each must still run and end cleanly.
 */
export async function startSites<Name extends string>(
    t: Test,
    options: Readonly<Record<Name, SiteOptions>>,
): Promise<Readonly<Record<Name, Site>>> {
    t.setTimeout(LIMIT_MS);
    const ufds = await UfdsDouble.start();
    t.teardown(() => ufds.stop());
    const names = Object.keys(options) as Name[];
    const relays = new Map<Name, TcpRelay>();
    for (const name of names) relays.set(name, await TcpRelay.start(0));
    const urls = Object.fromEntries([...relays].map(([name, relay]) => [name, relay.url]));
    const sites = await Promise.all(
        [...relays].map(async ([name, relay]) => {
            return [name, await startSite(t, name, urls, ufds, relay, options[name])] as const;
        }),
    );
    return Object.fromEntries(sites) as Record<Name, Site>;
}
