import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Test } from 'tap';
import { LocalArchive } from '#lib/archive/local-archive.js';
import type { Archive } from '#lib/archive/archive.js';
import type { Config } from '#lib/base/config-types.js';
import type { StorageType } from '#lib/base/constants.js';
import { baseDirectories } from '#lib/base/directories.js';
import { ApiError } from '#lib/base/errors.js';
import { systemClock } from '#lib/base/clock.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import type { Database, StoredImage } from '#lib/database/database.js';
import { LocalDatabase } from '#lib/database/local/local-database.js';
import { LocalSharingStore } from '#lib/database/local/local-sharing.js';
import { MemorySharingStore } from '#lib/database/memory/memory-sharing.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import type { ImageServices, RequestContext } from '#lib/images/context.js';
import { currentFiles } from '#lib/images/current-files.js';
import type { RawImage } from '#lib/manifest/types.js';
import { FileCloneJournal } from '#lib/storage/file-clone-journal.js';
import { FileUploadJournal } from '#lib/storage/file-upload-journal.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import type { ListedFile, Storage, StoredFileName } from '#lib/storage/storage.js';
import { HttpClient } from '#lib/base/http-client.js';
import { HttpDockerRegistries } from '#lib/remotes/docker/registries.js';
import { RemoteImageSources } from '#lib/remotes/imgapi/remote-image-source.js';
import { HttpStreamsServers } from '#lib/remotes/simplestreams/http-streams-server.js';
import { Layers } from '#lib/transfers/layers/layers.js';
import { TransferBoard } from '#lib/transfers/transfer-board.js';
import { validateRaw } from '#lib/manifest/validate.js';
import { USERS } from './images.js';
import { recordingLog, type LogRecord } from './recording-log.js';

/** The backends every use-case is tried on. */
export const BACKENDS = ['memory', 'local'] as const;
export type Backend = (typeof BACKENDS)[number];

export const CHANNELS = [
    { name: 'experimental', description: 'feature branches' },
    { name: 'dev', description: 'main branch', default: true },
    { name: 'release', description: 'releases' },
];

/** Keeps archived records, and fails on demand. */
export class MemoryArchive implements Archive {
    readonly written: RawImage[] = [];
    #failures: Error[] = [];

    failNext(error: Error): void {
        this.#failures.push(error);
    }

    async write(raw: RawImage): Promise<void> {
        const failure = this.#failures.shift();
        if (failure !== undefined) throw failure;
        this.written.push(raw);
    }

    async count(): Promise<number> {
        return new Set(this.written.map((raw) => raw.uuid)).size;
    }
}

export interface BenchOptions {
    readonly backend?: Backend;
    /** Changes of the configuration. */
    readonly config?: Partial<Config>;
    readonly accounts?: readonly string[];
    /** Replaces the archive of the backend. */
    readonly archive?: Archive;
    /** Wraps the database use-cases see. */
    readonly wrapDatabase?: (database: Database) => Database;
    /** Wraps the local storage use-cases see. */
    readonly wrapStorage?: (storage: Storage) => Storage;
}

/** Use-cases' services on real or in-memory backends, and what a test looks at behind them. */
export interface Bench {
    readonly services: ImageServices;
    readonly database: Database;
    readonly archive: Archive;
    readonly local: Storage;
    readonly manta: FaultyMemory;
    /** The in-memory backends, to make them fail. @throws for other backends */
    readonly memory: () => { readonly database: MemoryDatabase; readonly storage: FaultyMemory };
    readonly records: readonly LogRecord[];
    readonly base: string;
    /** Milliseconds since the epoch; a test may move it. */
    readonly clock: { time: number };
    setConfig(changes: Partial<Config>): void;
    context(changes?: Partial<RequestContext>): RequestContext;
    /** Puts a record in place as if it had been there before. */
    plant(record: Readonly<Record<string, unknown>>): Promise<StoredImage>;
    /** Puts bytes in place. */
    plantFile(uuid: string, name: StoredFileName, bytes: Buffer, storage?: Storage): Promise<void>;
    raw(uuid: string): Promise<RawImage>;
    exists(uuid: string): Promise<boolean>;
    /** Final and temporary files in a storage. */
    files(storage?: Storage): Promise<readonly ListedFile[]>;
    /** Bytes of a file, `undefined` when it is not there. */
    bytes(uuid: string, name: StoredFileName, storage?: Storage): Promise<Buffer | undefined>;
    /** Entries in the journal of pending deletes. */
    pendingDeletes(): Promise<number>;
    /** How much later it is for the journal, milliseconds. */
    readonly journalClock: { ahead: number };
}

/** The login an account has in the tests. */
function loginOf(account: string): string {
    return Object.entries(USERS).find(([, uuid]) => uuid === account)?.[0] ?? '';
}

async function collect(stream: Readable): Promise<Buffer> {
    return Buffer.concat((await stream.toArray()) as Buffer[]);
}

async function storageBytes(
    storage: Storage,
    uuid: string,
    name: StoredFileName,
): Promise<Buffer | undefined> {
    const opened = await storage.open(uuid, name);
    return opened === undefined ? undefined : collect(opened.stream);
}

async function list(storage: Storage): Promise<readonly ListedFile[]> {
    const files: ListedFile[] = [];
    for await (const file of storage.list()) files.push(file);
    return files;
}

/** Sets up services on empty backends; everything is taken down with the test. */
export async function makeBench(t: Test, options: BenchOptions = {}): Promise<Bench> {
    const { backend = 'memory' } = options;
    const base = join(t.testdir({}), 'base');
    const directories = baseDirectories(base);
    const { log, records } = recordingLog();
    const clock = { time: Date.parse('2026-01-02T03:04:05.006Z') };
    const config = {
        current: {
            mode: 'private',
            storageTypes: ['local'],
            placeholderImageLifespanDays: 7,
            ...options.config,
        } as Config,
    };
    const local: Storage = backend === 'local' ? new LocalStorage({ directories, log }) : new FaultyMemory();
    const manta = new FaultyMemory({ type: 'manta' });
    const { mode } = config.current;
    const archive =
        options.archive ??
        (backend === 'local' ? new LocalArchive({ directories, mode, log }) : new MemoryArchive());
    const database =
        backend === 'local' ? new LocalDatabase({ directories, config, log }) : new MemoryDatabase();
    if (database instanceof LocalDatabase) await database.becomeWriter();
    await database.setup();
    await local.setup();
    t.teardown(() => database.close());
    const storages = new Map<StorageType, Storage>([['local', options.wrapStorage?.(local) ?? local]]);
    if (config.current.storageTypes.includes('manta')) storages.set('manta', manta);
    const imageQueue = new KeyedQueue();
    const seen = options.wrapDatabase?.(database) ?? database;
    const now = { now: () => clock.time };
    const journalClock = { ahead: 0, now: () => systemClock.now() + journalClock.ahead };
    const journal = new FileDeleteJournal({
        directories,
        log,
        clock: journalClock,
        storages,
        currentFiles: (uuid) => currentFiles(seen, uuid),
        imageQueue,
        writers: 'all',
    });
    const { accounts } = options;
    let client: HttpClient | undefined;
    const http = async (): Promise<HttpClient> => (client ??= new HttpClient({ config }));
    t.teardown(() => client?.close());
    const services: ImageServices = {
        config,
        database: seen,
        storages,
        archive,
        journal,
        uploads: new FileUploadJournal({ directories, log, clock: systemClock, writers: 'all' }),
        clones: new FileCloneJournal({ directories, log, clock: now }),
        imageQueue,
        importQueue: new KeyedQueue(),
        sharing:
            backend === 'local'
                ? new LocalSharingStore({ directories, clock: now })
                : new MemorySharingStore(),
        clock: now,
        sources: new RemoteImageSources(http),
        registries: new HttpDockerRegistries(http, config),
        streamsServers: new HttpStreamsServers(http),
        http,
        transfers: new TransferBoard(),
        layers: new Layers({ directories, clock: now, log }),
        ...(accounts === undefined
            ? {}
            : {
                  accounts: {
                      exists: async (uuid: string) => accounts.includes(uuid),
                      login: async (uuid: string) => (accounts.includes(uuid) ? loginOf(uuid) : undefined),
                      ping: async () => undefined,
                      close: async () => undefined,
                  },
              }),
    };
    return {
        services,
        database,
        archive,
        local,
        manta,
        memory: () => {
            if (!(database instanceof MemoryDatabase) || !(local instanceof FaultyMemory)) {
                throw new Error('not on the in-memory backends');
            }
            return { database, storage: local };
        },
        records,
        base,
        clock,
        setConfig: (changes) => {
            config.current = { ...config.current, ...changes };
        },
        context: (changes = {}) => ({
            requestId: 'c6a2b4d8-0000-4000-8000-000000000001',
            log,
            signal: new AbortController().signal,
            version2: false,
            userAgent: '',
            ...changes,
        }),
        plant: async (record) => {
            const { mode: current, channels } = config.current;
            const rules = { mode: current, channels: channels !== undefined };
            return database.create(validateRaw(record, rules, 'lenient'));
        },
        plantFile: async (uuid, name, bytes, storage = local) => {
            const writer = await storage.createWriter(uuid, name);
            await writer.write(bytes);
            await writer.close();
            await writer.commit();
        },
        raw: async (uuid) => (await database.get(uuid)).raw,
        exists: async (uuid) =>
            database.get(uuid).then(
                () => true,
                () => false,
            ),
        files: (storage = local) => list(storage),
        bytes: (uuid, name, storage = local) => storageBytes(storage, uuid, name),
        pendingDeletes: () => journal.pass(),
        journalClock,
    };
}

/** Runs one test for each kind of backends. */
export function onEveryBackend(
    t: Test,
    name: string,
    run: (t: Test, backend: Backend) => Promise<void>,
): void {
    for (const backend of BACKENDS) {
        void t.test(`${name} (${backend})`, (inner) => run(inner, backend));
    }
}

/** What an {@link ApiError} says, without what is only for the log. */
export interface Refusal {
    readonly status: number;
    readonly code: string;
    readonly message: string;
    readonly errors?: readonly unknown[];
}

/** The answer a call is refused with; fails when it succeeds or fails otherwise. */
export async function refusal(call: Promise<unknown> | (() => Promise<unknown>)): Promise<Refusal> {
    try {
        await (typeof call === 'function' ? call() : call);
    } catch (error) {
        if (error instanceof ApiError) return { status: error.status, ...error.toBody() };
        throw error;
    }
    throw new Error('the call was not refused');
}

/** The refusal with `errors`, as tests write it. */
export function refused(
    status: number,
    code: string,
    message: string,
    ...entries: readonly (readonly [field: string, code: string, message?: string])[]
): Refusal {
    const errors = entries.map(([field, entryCode, text]) => ({
        field,
        code: entryCode,
        ...(text === undefined ? {} : { message: text }),
    }));
    const hasErrors = code === 'ValidationFailed' || code === 'InvalidParameter';
    return { status, code, message, ...(hasErrors ? { errors } : {}) };
}

export function sha1(bytes: Buffer): string {
    return createHash('sha1').update(bytes).digest('hex');
}

export function sha256(bytes: Buffer): string {
    return createHash('sha256').update(bytes).digest('hex');
}

export function md5(bytes: Buffer): string {
    return createHash('md5').update(bytes).digest('base64');
}

/** A source of bytes that notes whether it was asked for. */
export function upload(bytes: Buffer): { readonly start: () => Readable; readonly started: () => boolean } {
    let asked = false;
    return {
        start: () => {
            asked = true;
            return Readable.from([bytes], { objectMode: false });
        },
        started: () => asked,
    };
}
