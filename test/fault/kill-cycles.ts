import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../helpers/http-client.js';
import { imageDirectory } from '../helpers/images.js';
import { eventually, type ServerProcess } from '../helpers/server-process.js';
import type { ImageUnderCrashes, MortalServer } from './crash-model.js';

/** What is killed, and how often. */
export interface KillPlan {
    readonly baseDir: string;
    readonly cycles: number;
    /** Servers at a time; one of them is killed in each cycle, the others go on. */
    readonly servers: number;
    /** Starts one more server on the base directory. */
    readonly start: () => Promise<ServerProcess>;
    /** One client each, which writes one request after another. */
    readonly images: readonly ImageUnderCrashes[];
    /** Uuid and name of the files of images that are in nobody's hands. */
    readonly otherFiles?: readonly (readonly [uuid: string, name: string])[];
    /** After how many cycles all is brought to rest; it is in the end anyway. */
    readonly restEvery?: number;
    /** What else is looked at after every kill; resolves to the problems. */
    readonly inspect?: () => readonly string[];
    readonly progress: (done: number) => void;
}

/** What a run of kill cycles found. */
export interface KillReport {
    readonly cycles: number;
    readonly acknowledged: number;
    /** Writes that were cut off. */
    readonly cut: number;
    readonly problems: readonly string[];
}

const DAY_MS = 24 * 3600 * 1000;
/** Longest time from the start of a cycle to the kill, milliseconds. */
const KILL_AFTER_MS = 400;
/** Longest time that the others go on alone, and with the one that has come back, milliseconds. */
const GO_ON_MS = 800;
/** How long the background tasks may take to put everything right, milliseconds. */
const REST_LIMIT_MS = 15_000;

export function filesBelow(directory: string): string[] {
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
}

/** A server process with one client for all. */
class Mortal implements MortalServer {
    readonly client: HttpClient;
    isUp = true;

    constructor(readonly process: ServerProcess) {
        this.client = new HttpClient(process.port);
    }

    async kill(): Promise<void> {
        this.isUp = false;
        await this.process.kill();
    }
}

/** Starts servers, writes to them with all clients at once, kills one in the middle with SIGKILL, and compares. */
class KillCycles {
    readonly #plan: KillPlan;
    readonly problems: string[] = [];
    #servers: Mortal[] = [];
    #dying: Promise<void> | undefined;
    acknowledged = 0;
    cut = 0;

    constructor(plan: KillPlan) {
        this.#plan = plan;
    }

    async run(): Promise<void> {
        const { cycles, restEvery = cycles, progress } = this.#plan;
        await this.#startAll();
        try {
            for (let cycle = 1; cycle <= cycles && this.problems.length === 0; cycle += 1) {
                await this.#cycle();
                if (cycle % restEvery === 0 || cycle === cycles) await this.#rest();
                progress(cycle);
            }
        } finally {
            await Promise.all(this.#servers.map((server) => server.process.stop()));
        }
    }

    async #startAll(): Promise<void> {
        this.#servers = [];
        for (let index = 0; index < this.#plan.servers; index += 1) {
            this.#servers.push(new Mortal(await this.#plan.start()));
        }
    }

    async #cycle(): Promise<void> {
        const end = new AbortController();
        const writers = Promise.all(this.#plan.images.map((image) => this.#write(image, end.signal)));
        await delay(randomInt(5, KILL_AFTER_MS));
        const [victim] = this.#servers.splice(randomInt(this.#servers.length), 1);
        this.#dying = victim?.kill();
        await this.#dying;
        if (this.#servers.length > 0) await delay(randomInt(GO_ON_MS));
        else end.abort();
        const server = new Mortal(await this.#plan.start());
        this.#servers.push(server);
        if (!end.signal.aborted) await delay(randomInt(GO_ON_MS));
        end.abort();
        await writers;
        this.problems.push(...(this.#plan.inspect?.() ?? []));
        await this.#verify(false);
    }

    /** Writes until the end, or until there is nothing to write to. */
    async #write(image: ImageUnderCrashes, end: AbortSignal): Promise<void> {
        while (!end.aborted && this.problems.length === 0) {
            const servers = this.#servers.filter(({ isUp }) => isUp);
            if (servers.length === 0) return;
            try {
                if ((await image.write(servers)) === 'acknowledged') {
                    this.acknowledged += 1;
                    continue;
                }
            } catch (error) {
                this.problems.push(String(error));
                return;
            }
            this.cut += 1;
            // Whatever it has sent to its database by then, nothing more follows.
            await this.#dying;
            // Some wait until it is settled, the others go on with what they find.
            if (randomInt(2) === 0) return;
        }
    }

    async #verify(isSettled: boolean): Promise<void> {
        const verify = async (image: ImageUnderCrashes, index: number): Promise<void> => {
            for (const { client } of isSettled ? this.#servers : [this.#serverOf(index)]) {
                this.problems.push(...(await image.verify(client, isSettled)));
            }
        };
        await Promise.all(this.#plan.images.map(verify));
    }

    #serverOf(index: number): Mortal {
        return this.#servers[index % this.#servers.length] as Mortal;
    }

    /** Lets everything unfinished look old and the servers start again: then all must be put right. */
    async #rest(): Promise<void> {
        const { baseDir } = this.#plan;
        await Promise.all(this.#servers.map((server) => server.process.stop()));
        const old = new Date(Date.now() - 2 * DAY_MS);
        for (const path of [...filesBelow(join(baseDir, 'images')), ...filesBelow(join(baseDir, 'run'))]) {
            if (!path.endsWith('.sock')) utimesSync(path, old, old);
        }
        await this.#startAll();
        const unsettled = () =>
            ['deletes', 'uploads', 'clones'].flatMap((name) => filesBelow(join(baseDir, 'run', name)));
        await this.#expectNone('left unsettled', unsettled);
        await this.#verify(true);
        await this.#expectNone('left without a record', () => {
            const expected = this.#expectedFiles();
            return [
                ...filesBelow(join(baseDir, 'images')).filter((path) => !expected.has(path)),
                ...filesBelow(join(baseDir, 'manifests')).filter((path) => !path.endsWith('.raw')),
            ];
        });
    }

    #expectedFiles(): ReadonlySet<string> {
        const { baseDir, images, otherFiles = [] } = this.#plan;
        const files = [...images.flatMap((image) => image.expectedFiles), ...otherFiles];
        return new Set(files.map(([uuid, name]) => join(imageDirectory(baseDir, uuid), name)));
    }

    async #expectNone(what: string, find: () => readonly string[]): Promise<void> {
        try {
            await eventually(what, REST_LIMIT_MS, () => find().length === 0);
        } catch {
            this.problems.push(...find().map((path) => `${what}: ${path}`));
        }
    }
}

/** Kills servers in the middle of writes, `cycles` times, and compares what they have with what was acknowledged. */
export async function runKillCycles(plan: KillPlan): Promise<KillReport> {
    const run = new KillCycles(plan);
    await run.run();
    const { acknowledged, cut, problems } = run;
    return { cycles: plan.cycles, acknowledged, cut, problems };
}
