import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { WorkLines } from '#lib/base/work-lines.js';
import { ApiError } from '#lib/base/errors.js';
import type { Database } from '#lib/database/database.js';
import type { RequestContext } from '#lib/images/context.js';
import { importDockerImage } from '#lib/images/docker/import-image.js';
import { pullError, type PullLine } from '#lib/images/docker/import-lines.js';
import { requirePull } from '#lib/images/docker/import-request.js';
import { chainUuids } from '#lib/manifest/docker/image-layers.js';
import type { RawImage } from '#lib/manifest/types.js';
import { RegistryDouble } from '../doubles/registry/registry-double.js';
import type { ImageSpec, MadeImage } from './docker-images.js';
import { replacing } from './image-faults.js';
import { makeBench, type Bench, type BenchOptions } from './image-bench.js';

/** A line. */
export type Told = Readonly<Record<string, unknown>>;

/** An image in the registry. */
export interface OfferedImage extends MadeImage {
    /** Of the images of its layers, the base first. */
    readonly uuids: readonly string[];
    readonly shortIds: readonly string[];
}

/** Of a layer, what the lines have said, the list of layers apart. */
export function progressOf(lines: readonly Told[], shortId: string | undefined): readonly unknown[] {
    return lines
        .filter(({ type }) => type === 'progress')
        .map(({ payload }) => payload as Readonly<Record<string, unknown>>)
        .filter(({ id }) => id === shortId)
        .map(({ status }) => status);
}

/** The code and the message that the lines end with. */
export function failureOf(lines: readonly Told[]): unknown {
    return lines.at(-1)?.['error'];
}

/** Which files wait in the staging area of a server. */
export function stagedFiles(baseDir: string): readonly string[] {
    const directory = join(baseDir, 'staging', 'docker');
    return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/** Adds what only clients of the server know of an image. */
export function offered(image: MadeImage): OfferedImage {
    const digests = image.layers.map(({ digest }) => digest);
    return { ...image, uuids: chainUuids(digests), shortIds: digests.map((digest) => digest.slice(7, 19)) };
}

/** By default `latest`, for nobody in particular, public where images are. */
type PullArguments = [tag?: string, context?: Partial<RequestContext>, isPublic?: boolean];

/** Services that pull from a registry. */
export interface PullBench {
    readonly bench: Bench;
    readonly registry: RegistryDouble;
    /** Puts an image there. */
    readonly offer: (spec: ImageSpec, tag?: string) => Promise<OfferedImage>;
    /** The lines of a pull, begun. */
    readonly begin: (...pull: PullArguments) => WorkLines<PullLine>;
    /** All lines of a pull, with that of its failure. */
    readonly pull: (...pull: PullArguments) => Promise<readonly Told[]>;
}

/** The repository that the bench pulls from. */
export const REPOSITORY = 'a/b';

/** The lines to the end, that of a failure included. */
export async function readAll(lines: AsyncIterable<PullLine>, id: string): Promise<readonly Told[]> {
    const told: Told[] = [];
    try {
        for await (const line of lines) told.push(line);
    } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        told.push(pullError(error, id));
    }
    return told;
}

/** Sets up services and a registry. */
export async function pullBench(t: Test, options: BenchOptions = {}): Promise<PullBench> {
    const config = { maxSockets: 100, serverName: 'IMGAPI/9', ...options.config };
    const bench = await makeBench(t, { backend: 'local', ...options, config });
    const registry = await new RegistryDouble().start(t);
    const { services } = bench;
    const begin: PullBench['begin'] = (tag = 'latest', changes = {}, isPublic) => {
        const context = bench.context(changes);
        const wanted = requirePull(services, context, {
            repo: `${registry.host}/${REPOSITORY}`,
            tag,
            digest: undefined,
            headers: {},
            isPublic: () => isPublic,
        });
        return new WorkLines(importDockerImage(services, context, wanted), new AbortController().signal);
    };
    return {
        bench,
        registry,
        begin,
        offer: async (spec, tag = 'latest') => offered(await registry.putImage(REPOSITORY, tag, spec)),
        pull: async (...pull) => readAll(begin(...pull), `${registry.host}/${REPOSITORY}`),
    };
}

/** What somebody does just before or behind a call of the database; the number counts calls for the uuid. */
export interface Hooks {
    get?: (uuid: string, nth: number) => unknown;
    create?: (raw: RawImage) => unknown;
    created?: (raw: RawImage) => unknown;
    update?: (uuid: string, nth: number) => unknown;
    del?: (uuid: string) => unknown;
}

function counter(): (uuid: string) => number {
    const counts = new Map<string, number>();
    return (uuid) => {
        counts.set(uuid, (counts.get(uuid) ?? 0) + 1);
        return counts.get(uuid) ?? 0;
    };
}

/** Services whose database tells of its calls. */
export async function hookedBench(
    t: Test,
    config: Partial<Config> = {},
): Promise<PullBench & { readonly hooks: Hooks }> {
    const hooks: Hooks = {};
    const [gets, updates] = [counter(), counter()];
    const wrapDatabase = (real: Database): Database =>
        replacing(real, {
            get: async (uuid) => {
                await hooks.get?.(uuid, gets(uuid));
                return real.get(uuid);
            },
            create: async (raw) => {
                await hooks.create?.(raw);
                const stored = await real.create(raw);
                await hooks.created?.(raw);
                return stored;
            },
            update: async (uuid, change, seen) => {
                await hooks.update?.(uuid, updates(uuid));
                return real.update(uuid, change, seen);
            },
            del: async (uuid, options) => {
                await hooks.del?.(uuid);
                return real.del(uuid, options);
            },
        });
    return { ...(await pullBench(t, { wrapDatabase, config })), hooks };
}
