import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { ServedFile, ServedImage } from '../doubles/image-server/served-image.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { HttpClient, type Answer, type Document } from './http-client.js';
import { imageDirectory, sha1Hex } from './images.js';
import { eventually, ServerProcess, temporaryDirectory, type ServerOptions } from './server-process.js';
import { createKey } from './signing.js';

/** Jobs try again quickly, so that tests need not wait. */
export const QUICK_JOBS = { backoffMinMs: 20, backoffMaxMs: 100, connectTimeout: 2, stallTimeout: 2 };

/** How long a job of a test may take. */
const JOB_LIMIT_MS = 30_000;

/** Of a result of a job, what tests look at. */
export interface JobResult {
    readonly name: string;
    readonly result: string;
    readonly error: unknown;
}

/** Of a job, what tests look at. */
export interface Job {
    readonly uuid: string;
    readonly execution: string;
    readonly chain_results: readonly JobResult[];
    readonly onerror_results: readonly JobResult[];
    readonly oncancel: readonly unknown[];
    readonly oncancel_results: readonly JobResult[];
    readonly created_images: readonly string[];
    readonly restarts: number;
    readonly progress: Document;
}

/** All files below a directory, relative to it. */
function below(directory: string): string[] {
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}

/** A server of ours that imports images, on a base directory of its own; it can be killed and started again. */
export class Importer {
    readonly baseDir: string;
    readonly key = createKey('operator');
    readonly #config: Readonly<Record<string, unknown>>;
    #server: ServerProcess | undefined;
    #client: HttpClient | undefined;

    /** Is stopped, and its directory removed, with the test. */
    constructor(t: Test, config: Readonly<Record<string, unknown>> = {}, baseDir = temporaryDirectory()) {
        this.baseDir = baseDir;
        this.#config = config;
        t.teardown(async () => {
            this.#client?.close();
            await this.#server?.stop();
            rmSync(this.baseDir, { recursive: true, force: true });
        });
    }

    get server(): ServerProcess {
        if (this.#server === undefined) throw new Error('the server was not started');
        return this.#server;
    }

    /** Signs as an operator. */
    get client(): HttpClient {
        if (this.#client === undefined) throw new Error('the server was not started');
        return this.#client;
    }

    async start(options: ServerOptions = {}): Promise<this> {
        this.#server = await ServerProcess.start({
            ...options,
            baseDir: this.baseDir,
            config: {
                authKeys: { operator: [this.key.publicLine] },
                jobs: QUICK_JOBS,
                ...this.#config,
            },
        });
        this.#client = new HttpClient(this.#server.port, this.key);
        return this;
    }

    async kill(): Promise<void> {
        this.#client?.close();
        await this.#server?.kill();
    }

    /** Asks for an import. */
    import(uuid: string, source: string, more = ''): Promise<Answer> {
        const query = `action=import-remote&source=${encodeURIComponent(source)}${more}`;
        return this.client.post(`/images/${uuid}?${query}`);
    }

    /** Starts an import; throws unless it is accepted. @returns uuid of the job */
    async begin(uuid: string, source: string, more = ''): Promise<string> {
        const answer = await this.import(uuid, source, more);
        if (answer.status !== 200) throw new Error(`not accepted: ${answer.text}`);
        return String(answer.document['job_uuid']);
    }

    async job(uuid: string): Promise<Job> {
        return (await this.client.get(`/jobs/${uuid}`)).document as unknown as Job;
    }

    /** Waits for the end of a job, its clean-up included. */
    async ended(uuid: string): Promise<Job> {
        return eventually(`the end of job ${uuid}`, JOB_LIMIT_MS, async () => {
            const job = await this.job(uuid);
            const isOver = ['succeeded', 'failed', 'canceled'].includes(job.execution);
            const isCleaned =
                job.execution !== 'canceled' || job.oncancel_results.length === job.oncancel.length;
            return isOver && isCleaned && !existsSync(join(this.baseDir, 'staging', uuid)) && job;
        });
    }

    /**
     * What is left besides finished images and jobs: parts, temporary files, intents. Intents that were
     * never finished say nothing; they go with the daily sweep.
     */
    leftovers(): string[] {
        const images = below(join(this.baseDir, 'images'))
            .filter((path) => !/\/(?:file\d+|icon)$/.test(path))
            .map((path) => `images/${path}`);
        const staging = below(join(this.baseDir, 'staging')).map((path) => `staging/${path}`);
        const run = ['uploads', 'deletes', 'clones', 'exports'].flatMap((name) =>
            below(join(this.baseDir, 'run', name))
                .filter((path) => !path.endsWith('.tmp'))
                .map((path) => `run/${name}/${path}`),
        );
        return [...images, ...staging, ...run];
    }

    /** Uuids of all records, and of all directories with files. */
    async images(): Promise<{ readonly records: readonly string[]; readonly files: readonly string[] }> {
        const list = await this.client.get('/images?state=all');
        const files = below(join(this.baseDir, 'images')).map((path) => path.split('/').at(-2) ?? '');
        return { records: list.uuids.toSorted(), files: [...new Set(files)].toSorted() };
    }

    /** Bytes of a file as they lie on disk. */
    stored(uuid: string, name = 'file0'): Buffer | undefined {
        const path = join(imageDirectory(this.baseDir, uuid), name);
        return existsSync(path) ? readFileSync(path) : undefined;
    }
}

/** Another image server with a chain of images, base first. */
export interface OfferedChain {
    readonly double: ImageServerDouble;
    readonly images: readonly (ServedImage & { readonly uuid: string })[];
}

/** Starts a double, which is stopped with the test. */
export async function startSource(
    t: Test,
    options?: ConstructorParameters<typeof ImageServerDouble>[0],
): Promise<ImageServerDouble> {
    const double = await new ImageServerDouble(options).start();
    t.teardown(() => double.stop());
    return double;
}

/** Adds a chain of images to a double, each the origin of the next. @param files the first file of each */
export function offerChain(
    double: ImageServerDouble,
    files: readonly (Buffer | ServedFile)[],
    changes: Readonly<Record<string, unknown>> = {},
): OfferedChain['images'] {
    let origin: string | undefined;
    return files.map((file, index) => {
        const uuid = randomUUID();
        const image = double.add(
            {
                uuid,
                name: `image-${index}`,
                public: false,
                ...(origin === undefined ? {} : { origin }),
                ...changes,
            },
            [file],
        );
        origin = uuid;
        return { ...image, uuid };
    });
}

/** Bytes of some size that differ each time. */
export function someBytes(size = 200_000): Buffer {
    return randomBytes(size);
}

/** Fails the test unless the image is here, activated, with the bytes that the source has. */
export async function expectImage(
    t: Test,
    importer: Importer,
    image: ServedImage & { readonly uuid: string },
    state = 'active',
): Promise<void> {
    const { document } = await importer.client.get(`/images/${image.uuid}`);
    t.match(document, { uuid: image.uuid, state, origin: image.manifest['origin'] });
    const [file] = image.files;
    const bytes = file?.bytes ?? Buffer.alloc(0);
    t.match(document, { files: [{ sha1: sha1Hex(bytes), size: bytes.length, compression: 'gzip' }] });
    const sent = await importer.client.get(`/images/${image.uuid}/file`);
    t.ok(sent.body.equals(bytes), `the bytes of ${image.uuid}`);
}
