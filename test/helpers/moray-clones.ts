import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { MorayDouble } from '../doubles/moray/moray-double.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { ADMIN, datacenterConfig } from './datacenter.js';
import { type Document, HttpClient } from './http-client.js';
import { type Fixture, gzipFile, imageDirectory, rawRecord, USERS, writeFixtureBytes } from './images.js';
import { eventually, freePort, ServerProcess, temporaryDirectory } from './server-process.js';

const BUCKET = 'imgapi_images';
const { vader, luke } = USERS;
/** How long a server may take to find Moray and make its bucket. */
const READY_LIMIT_MS = 20_000;

/** A server process and its client. */
export interface Peer {
    readonly server: ServerProcess;
    readonly client: HttpClient;
}

/** Images each on the one before, and the image of the operator that the first is made on. */
export interface Chain {
    readonly base: string;
    /** Nearest to the base first; the last one is shared with luke. */
    readonly uuids: readonly string[];
    readonly top: string;
}

/** A base directory that server processes of a datacenter share, with one Moray. */
export class ClonePlace {
    readonly baseDir = temporaryDirectory();
    readonly moray: MorayDouble;
    readonly #ufds: UfdsDouble;
    readonly #servers: ServerProcess[] = [];
    #count = 0;

    private constructor(moray: MorayDouble, ufds: UfdsDouble) {
        this.moray = moray;
        this.#ufds = ufds;
    }

    /** Makes the place; its servers are killed when the test ends, for some have been killed before. */
    static async make(t: Test, moray: MorayDouble): Promise<ClonePlace> {
        const place = new ClonePlace(moray, await UfdsDouble.start());
        t.teardown(async () => {
            await Promise.all(place.#servers.map((server) => server.kill()));
            await place.#ufds.stop();
            rmSync(place.baseDir, { recursive: true, force: true });
        });
        return place;
    }

    /** Starts one more server and waits until it answers from Moray. */
    async start(config: Readonly<Record<string, unknown>> = {}): Promise<Peer> {
        const { baseDir, moray } = this;
        const address = { host: '127.0.0.1', port: moray.port, retry: { minTimeout: 50, maxTimeout: 200 } };
        const options = { config: { moray: address, databaseType: 'moray', ...config } };
        const server = await ServerProcess.start({
            baseDir,
            config: { metrics: { port: await freePort() }, ...datacenterConfig(this.#ufds.config, options) },
        });
        this.#servers.push(server);
        const peer = { server, client: new HttpClient(server.port) };
        await this.ready(peer);
        return peer;
    }

    /** Waits until a server answers from Moray. */
    async ready({ client }: Peer): Promise<void> {
        await eventually('an answer from Moray', READY_LIMIT_MS, async () => {
            return (await client.get('/images?limit=1')).status === 200;
        });
    }

    /** Puts an image in place, behind the servers' backs. */
    async plant(fixture: Omit<Fixture, 'uuid' | 'name'> & Partial<Fixture> = {}): Promise<string> {
        this.#count += 1;
        const whole: Fixture = {
            uuid: randomUUID(),
            name: `image-${this.#count}`,
            owner: vader,
            activated: true,
            published_at: new Date(Date.UTC(2020, 0, 1) + this.#count * 1000).toISOString(),
            file: gzipFile(`bytes of ${this.#count}`),
            ...fixture,
        };
        writeFixtureBytes(this.baseDir, [whole]);
        await this.moray.putRaw(BUCKET, whole.uuid, rawRecord(whole));
        return whole.uuid;
    }

    /** Plants a chain of so many images on a base. */
    async plantChain(length: number): Promise<Chain> {
        const base = await this.plant({ owner: ADMIN, public: true });
        const uuids: string[] = [];
        for (let index = 0; index < length; index += 1) {
            const acl = index === length - 1 ? { acl: [luke] } : {};
            uuids.push(await this.plant({ more: { origin: uuids.at(-1) ?? base, ...acl } }));
        }
        return { base, uuids, top: uuids.at(-1) ?? base };
    }

    /** All records, by uuid. */
    async records(): Promise<ReadonlyMap<string, Document>> {
        const rows = await this.moray.rows(BUCKET);
        return new Map(rows.map(({ key, value }) => [key, value]));
    }

    /** The bytes of an image's file; `undefined`: there is none. */
    bytes(uuid: string): Buffer | undefined {
        const path = join(imageDirectory(this.baseDir, uuid), 'file0');
        return existsSync(path) ? readFileSync(path) : undefined;
    }

    /** Everything there is: records, files, and what is noted for later. */
    async inventory(): Promise<object> {
        return {
            records: Object.fromEntries(await this.records()),
            files: this.names('images').filter((name) => /file|icon/.test(name)),
            intents: this.names('run/clones'),
            deletes: this.names('run/deletes'),
        };
    }

    /** Paths of all that lies in a directory of the base directory. */
    names(directory: string): readonly string[] {
        const path = join(this.baseDir, directory);
        return existsSync(path) ? (readdirSync(path, { recursive: true }) as string[]).sort() : [];
    }

    /** What is wrong with the records: origins and bytes that are missing. */
    async flaws(): Promise<readonly string[]> {
        const records = await this.records();
        return [...records].flatMap(([uuid, { origin, files }]) => [
            ...(typeof origin !== 'string' || records.has(origin) ? [] : [`${uuid} lacks its origin`]),
            ...(files === undefined || this.bytes(uuid) !== undefined ? [] : [`${uuid} lacks its file`]),
        ]);
    }

    /** The images of luke, each followed by those it is made on that are his too. */
    async lukesChains(): Promise<readonly (readonly Document[])[]> {
        const records = await this.records();
        const own = [...records.values()].filter(({ owner }) => owner === luke);
        const origins = new Set(own.map(({ origin }) => origin));
        return own
            .filter(({ uuid }) => !origins.has(uuid))
            .map((last) => {
                const chain = [last];
                for (;;) {
                    const next = records.get(String(chain.at(-1)?.['origin']));
                    if (next?.['owner'] !== luke) return chain;
                    chain.push(next);
                }
            });
    }

    /** Deletes images one after another. @throws when one is not deleted */
    async remove(client: HttpClient, uuids: Iterable<string>): Promise<void> {
        for (const uuid of uuids) {
            const { status, text } = await client.delete(`/images/${uuid}`);
            if (status !== 204) throw new Error(`${uuid} could not be deleted: ${status} ${text}`);
        }
    }

    /** Deletes all that luke has. */
    async removeLukes(client: HttpClient): Promise<void> {
        for (const chain of await this.lukesChains()) {
            await this.remove(
                client,
                chain.map(({ uuid }) => String(uuid)),
            );
        }
    }
}
