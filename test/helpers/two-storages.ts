import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { CallMatch } from '../doubles/manta/faults.js';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { leftovers } from '../fault/disk-operations.js';
import { HttpClient, type Answer } from './http-client.js';
import { createImage, imageDirectory, md5Base64, sha1Hex } from './images.js';
import { startManta } from './manta-place.js';
import { eventually, ServerProcess, temporaryDirectory } from './server-process.js';
import { expectCleanEnd } from './start-server.js';

export type Stor = 'local' | 'manta';

/** The bytes of an image, by their names in a storage. */
export type Contents = Readonly<Record<string, Buffer>>;

/** From and to. */
export const WAYS: readonly (readonly [Stor, Stor])[] = [
    ['local', 'manta'],
    ['manta', 'local'],
];

/**
 * How long a pass over the journal after a start may be in coming, and take: it looks after more than a hundred
 * images one by one, on a machine that may be busy with other tests.
 */
const SETTLE_LIMIT_MS = 60_000;

/** What a record says of bytes. */
interface Entry {
    readonly sha1: string;
    readonly contentMD5: string;
    readonly size: number;
    readonly stor: Stor;
}

/** Calls to Manta that are about images, rather than about all that a server keeps there. */
export function imageCalls(match: Omit<CallMatch, 'path'> = {}, name = ''): CallMatch {
    return { ...match, path: new RegExp(`/imgapi/images(/|$).*${name}`) };
}

/** How to set up a server with both storages. */
export interface TwoStoragesOptions {
    readonly snaplinks?: boolean;
    readonly environment?: Readonly<Record<string, string>>;
    /** Puts images in the base directory, before the server is started. */
    readonly prepare?: (baseDir: string) => void;
}

/** A server with local storage and a Manta, to be killed and started again. */
export class TwoStorages {
    readonly double: MantaDouble;
    readonly baseDir = temporaryDirectory();
    /** Where images lie in Manta. */
    readonly area: string;
    readonly #config: Readonly<Record<string, unknown>>;
    readonly #environment: Readonly<Record<string, string>>;
    #server: ServerProcess | undefined;

    private constructor(
        double: MantaDouble,
        root: string,
        manta: object,
        environment: Readonly<Record<string, string>>,
    ) {
        this.double = double;
        this.area = `${root}/imgapi/images`;
        this.#config = { authType: 'none', storageTypes: ['local', 'manta'], manta };
        this.#environment = environment;
    }

    /** Starts both; at the end of the test the server must still run and end cleanly. */
    static async start(t: Test, options: TwoStoragesOptions = {}): Promise<TwoStorages> {
        const { snaplinks = true, environment = {}, prepare } = options;
        const { double, root, config } = await startManta(t, { snaplinks });
        const place = new TwoStorages(double, root, config, environment);
        prepare?.(place.baseDir);
        t.teardown(async () => {
            double.clearFaults();
            const server = place.#server;
            await (server === undefined ? Promise.resolve() : expectCleanEnd(server)).finally(() =>
                rmSync(place.baseDir, { recursive: true, force: true }),
            );
        });
        await place.again();
        return place;
    }

    get server(): ServerProcess {
        if (this.#server === undefined) throw new Error('no server runs');
        return this.#server;
    }

    get client(): HttpClient {
        return new HttpClient(this.server.port);
    }

    /** Starts a server where none runs. */
    async again(): Promise<void> {
        this.#server ??= await ServerProcess.start({
            baseDir: this.baseDir,
            config: this.#config,
            environment: this.#environment,
        });
    }

    /** Kills the server at once. */
    async kill(): Promise<void> {
        await this.server.kill();
        this.#server = undefined;
    }

    /** Waits for the end of a server that is being killed. */
    async killed(): Promise<NodeJS.Signals | null> {
        const { signal } = await this.server.exited;
        this.#server = undefined;
        return signal;
    }

    /** Ends the server as a service manager does, and starts it again. */
    async restart(): Promise<void> {
        await expectCleanEnd(this.server);
        this.#server = undefined;
        await this.again();
    }

    upload(uuid: string, name: string, bytes: Buffer, stor: Stor): Promise<Answer> {
        const path = `/images/${uuid}/${name === 'icon' ? 'icon' : 'file'}?compression=none&storage=${stor}`;
        return this.client.put(path, bytes, { headers: { 'content-type': 'image/png' } });
    }

    /** Makes an image with these bytes, not activated, and gives its uuid. */
    async image(stor: Stor, contents: Contents): Promise<string> {
        const uuid = await createImage(this.client);
        for (const [name, bytes] of Object.entries(contents)) {
            const { status, text } = await this.upload(uuid, name, bytes, stor);
            if (status !== 200) throw new Error(`${status} ${text}`);
        }
        return uuid;
    }

    /** AdminChangeImageStor. */
    move(uuid: string, to: Stor, more = '&all=true'): Promise<Answer> {
        return this.client.post(`/images/${uuid}?action=change-stor&stor=${to}${more}`, {});
    }

    /** What the record on disk says of the bytes of an image; nothing if there is no image. */
    entries(uuid: string): Readonly<Record<string, Entry>> {
        const path = join(this.baseDir, 'manifests', `${uuid}.raw`);
        if (!existsSync(path)) return {};
        const { files = [], icon } = JSON.parse(readFileSync(path, 'utf8')) as {
            readonly files?: readonly Entry[];
            readonly icon?: Entry;
        };
        const named = files.map((entry, index) => [`file${index}`, entry] as const);
        return Object.fromEntries(icon === undefined ? named : [...named, ['icon', icon] as const]);
    }

    /** Whether the record on disk says that an image has these very bytes. */
    has(uuid: string, contents: Contents): boolean {
        const entries = this.entries(uuid);
        return Object.entries(contents).every(([name, bytes]) => entries[name]?.sha1 === sha1Hex(bytes));
    }

    /** What is wrong with the bytes that a record names, as they lie in their storage; asks no server. */
    damage(uuid: string): readonly string[] {
        return Object.entries(this.entries(uuid)).flatMap(([name, { sha1, size, contentMD5, stor }]) => {
            if (stor === 'local') {
                const path = join(imageDirectory(this.baseDir, uuid), name);
                const isThere = existsSync(path) && sha1Hex(readFileSync(path)) === sha1;
                return isThere ? [] : [`${name} in local`];
            }
            const object = this.double.entry(`${this.#directoryOf(uuid)}/${name}`);
            const isThere = object?.type === 'object' && object.size === size && object.md5 === contentMD5;
            return isThere ? [] : [`${name} in manta`];
        });
    }

    /**
     * What is left that no record names: bytes, directories, notes of what is to be done.
     *
     * @param gone images that there may have been
     */
    strays(gone: readonly string[] = []): readonly string[] {
        const uuids = [...new Set([...gone, ...this.#images()])];
        const named = (stor: Stor): readonly string[] =>
            uuids.flatMap((uuid) =>
                Object.entries(this.entries(uuid))
                    .filter(([, entry]) => entry.stor === stor)
                    .map(([name]) => `${uuid}/${name}`),
            );
        const inManta = this.double.objects(this.area).map((path) => path.split('/').slice(-2).join('/'));
        const onDisk = uuids.flatMap((uuid) => {
            const directory = imageDirectory(this.baseDir, uuid);
            return existsSync(directory) ? readdirSync(directory).map((name) => `${uuid}/${name}`) : [];
        });
        const empty = uuids.filter(
            (uuid) =>
                this.double.entry(this.#directoryOf(uuid)) !== undefined &&
                !inManta.some((path) => path.startsWith(uuid)),
        );
        return [
            ...inManta.filter((path) => !named('manta').includes(path)).map((path) => `manta: ${path}`),
            ...onDisk.filter((path) => !named('local').includes(path)).map((path) => `local: ${path}`),
            ...empty.map((uuid) => `manta: empty ${uuid}`),
            ...leftovers(this.baseDir).filter((path) => !/^images\/|^run\/instance$/.test(path)),
        ];
    }

    /**
     * Resolves when nothing is left but what may be: local temporary files, which only their age gives
     * away, and until a pass over the journal plans to look for bytes of deleted images.
     */
    async settled(gone: readonly string[] = [], { afterPass = false } = {}): Promise<void> {
        let last: readonly string[] = [];
        const isForLater = (path: string): boolean => {
            const planned = /^run\/deletes\/([0-9a-f-]{36})\./.exec(path)?.[1];
            return planned === undefined
                ? /^local: [^/]+\/\w+\.[0-9a-f-]{36}$/.test(path)
                : !afterPass && !existsSync(join(this.baseDir, 'manifests', `${planned}.raw`));
        };
        const isClean = (): boolean => {
            last = this.strays(gone).filter((path) => !isForLater(path));
            return last.length === 0;
        };
        await eventually('nothing to be left', SETTLE_LIMIT_MS, isClean).catch((error: unknown) => {
            throw new Error(`${(error as Error).message}: ${last.join(', ')}`, { cause: error });
        });
    }

    /** Whether clients read all of these bytes, and the record says where. */
    async expectContents(
        test: Test,
        uuid: string,
        contents: Contents,
        stor: Stor | undefined,
    ): Promise<void> {
        const entries = this.entries(uuid);
        test.same(Object.keys(entries).sort(), Object.keys(contents).sort(), 'the record names all');
        for (const [name, bytes] of Object.entries(contents)) {
            if (stor !== undefined) test.equal(entries[name]?.stor, stor, `${name} is in ${stor}`);
            test.equal(entries[name]?.sha1, sha1Hex(bytes), `the record of ${name}`);
            const path = name === 'icon' ? 'icon' : `file?index=${name.slice('file'.length)}`;
            const answer = await this.client.get(`/images/${uuid}/${path}`);
            test.equal(answer.status, 200, `${name} can be read`);
            test.equal(answer.header('content-md5'), md5Base64(bytes));
            test.equal(sha1Hex(answer.body), sha1Hex(bytes), `the bytes of ${name}`);
        }
    }

    /** Uuids of all records. */
    #images(): readonly string[] {
        const manifests = join(this.baseDir, 'manifests');
        return readdirSync(manifests).map((name) => name.replace(/\.raw$/, ''));
    }

    #directoryOf(uuid: string): string {
        return `${this.area}/${uuid.slice(0, 3)}/${uuid}`;
    }
}
