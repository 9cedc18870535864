import type { Readable } from 'node:stream';
import type { Test } from 'tap';
import { OutgoingError } from '#lib/base/http-errors.js';
import { WorkLines } from '#lib/base/work-lines.js';
import type { RequestContext } from '#lib/images/context.js';
import { pushImage } from '#lib/images/docker/push-image.js';
import { pushError } from '#lib/images/docker/push-lines.js';
import { requirePush, type WantedPush } from '#lib/images/docker/push-request.js';
import { chainUuids } from '#lib/manifest/docker/image-layers.js';
import type { JsonObject } from '#lib/manifest/types.js';
import { ApiError } from '#lib/base/errors.js';
import type {
    BlobOutcome,
    BlobUpload,
    RegistryManifest,
    RegistryRepository,
    RegistryRequest,
    RepositoryUse,
} from '#lib/remotes/docker-registry.js';
import type { OpenedSourceFile } from '#lib/remotes/image-source.js';
import { makeImage, sha256Digest, type ImageSpec, type MadeImage } from './docker-images.js';
import { makeBench, type Bench, type BenchOptions } from './image-bench.js';
import { md5Base64, rawRecord, sha1Hex, USERS, type Fixture } from './images.js';

/** An image, with everything it is made of. */
export interface WholeImage extends MadeImage {
    /** By digest: layers and config. */
    readonly blobs: ReadonlyMap<string, Buffer>;
    /** Of the images of its layers, the base first. */
    readonly uuids: readonly string[];
}

/** Makes an image and keeps its layers. */
export async function wholeImage(spec: ImageSpec): Promise<WholeImage> {
    const blobs = new Map<string, Buffer>();
    const image = await makeImage(spec, ({ digest, bytes }) => void blobs.set(digest, bytes));
    return { ...image, blobs, uuids: chainUuids(image.layers.map(({ digest }) => digest)) };
}

/** The bytes of a layer. */
export function layerBytes(image: WholeImage, at: number): Buffer {
    const bytes = image.blobs.get(image.layers[at]?.digest ?? '');
    if (bytes === undefined) throw new Error(`there is no layer ${at}`);
    return bytes;
}

/** The images of the layers as the server has them after an import from `repo`, public if they may be. */
export function layerFixtures(image: WholeImage, repo = 'busybox', isPublic = false): readonly Fixture[] {
    return image.layers.map(({ digest, diffId }, at): Fixture => {
        const file = layerBytes(image, at);
        const origin = image.uuids[at - 1];
        return {
            uuid: image.uuids[at] ?? '',
            name: 'docker-layer',
            version: digest.slice(7, 19),
            owner: USERS.vader,
            public: isPublic,
            activated: true,
            published_at: '2020-09-13T12:26:40.000Z',
            tags: { 'docker:repo': repo, 'docker:id': digest, 'docker:architecture': 'amd64' },
            file,
            more: {
                type: 'docker',
                os: 'linux',
                ...(origin === undefined ? {} : { origin }),
                files: [
                    {
                        sha1: sha1Hex(file),
                        digest,
                        size: file.length,
                        contentMD5: md5Base64(file),
                        mtime: '2020-09-13T12:26:40.000Z',
                        stor: 'local',
                        compression: 'gzip',
                        uncompressedDigest: diffId,
                    },
                ],
            },
        };
    });
}

/** What a client of the server has kept of the import. */
export function pushBody(image: WholeImage, changes: JsonObject = {}): JsonObject {
    return {
        config_digest: image.config.digest,
        head: true,
        image: JSON.parse(image.config.bytes.toString()) as JsonObject,
        image_uuid: image.uuids.at(-1) ?? '',
        manifest_digest: image.digest,
        manifest_str: image.bytes.toString(),
        ...changes,
    };
}

export function statusError(status: number, code: string, message: string): OutgoingError {
    return new OutgoingError('status', `PUT https://registry.example/v2/: status ${status}`, {
        status,
        body: { errors: [{ code, message }] },
    });
}

/** A repository in memory, that a test may have fail. */
export class MemoryRepository implements RegistryRepository {
    readonly blobs = new Map<string, Buffer>();
    readonly manifests = new Map<string, { readonly bytes: Buffer; readonly contentType: string }>();
    /** Blobs of other repositories, by `<repository> <digest>`. */
    readonly mountable = new Set<string>();
    readonly uploads: BlobUpload[] = [];
    readonly uses: RepositoryUse[] = [];
    /** Run before a call; what one throws is the failure. */
    before: Partial<
        Record<'ping' | 'hasBlob' | 'putBlob' | 'putManifest', (what: string, signal: AbortSignal) => unknown>
    > = {};

    async ping({ signal }: RegistryRequest): Promise<void> {
        await this.before.ping?.('', signal);
    }

    manifest(): Promise<RegistryManifest> {
        return Promise.reject(new Error('nobody pulls'));
    }

    openBlob(): Promise<OpenedSourceFile> {
        return Promise.reject(new Error('nobody pulls'));
    }

    async hasBlob(digest: string, { signal }: RegistryRequest): Promise<boolean> {
        await this.before.hasBlob?.(digest, signal);
        return this.blobs.has(digest);
    }

    async putBlob(blob: BlobUpload, { signal }: RegistryRequest): Promise<BlobOutcome> {
        const { digest, mountFrom, size, onSent } = blob;
        this.uploads.push(blob);
        await this.before.putBlob?.(digest, signal);
        if (mountFrom !== undefined && this.mountable.has(`${mountFrom} ${digest}`)) return 'mounted';
        const bytes = await this.receive(await blob.open(), onSent);
        if (bytes.length !== size || sha256Digest(bytes) !== digest) {
            throw statusError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
        }
        this.blobs.set(digest, bytes);
        return 'uploaded';
    }

    async putManifest(
        reference: string,
        bytes: Buffer,
        contentType: string,
        { signal }: RegistryRequest,
    ): Promise<string | undefined> {
        await this.before.putManifest?.(reference, signal);
        this.manifests.set(reference, { bytes, contentType });
        return sha256Digest(bytes);
    }

    /** As the client does it, whatever goes wrong with the source is a lost connection for it. */
    async receive(source: Readable, onSent?: (sent: number) => void): Promise<Buffer> {
        const chunks: Buffer[] = [];
        let sent = 0;
        try {
            for await (const chunk of source as AsyncIterable<Buffer>) {
                chunks.push(chunk);
                sent += chunk.length;
                onSent?.(sent);
            }
        } catch (error) {
            throw new OutgoingError('connect', 'PUT https://registry.example/v2/: reset', { cause: error });
        }
        return Buffer.concat(chunks);
    }
}

/** Of every push. */
export const REQUEST_ID = 'c6a2b4d8-0000-4000-8000-000000000001';

/** A line. */
export type Told = Readonly<Record<string, unknown>>;

/** Services with images, and a repository to push to. */
export interface PushBench {
    readonly bench: Bench;
    readonly registry: MemoryRepository;
    /** Puts the images of the layers in place. */
    readonly plant: (image: WholeImage, repo?: string) => Promise<void>;
    readonly wanted: (image: WholeImage, input?: PushChanges) => WantedPush;
    /** The lines of a push, begun. */
    readonly begin: (
        wanted: WantedPush,
        context?: Partial<RequestContext>,
        signal?: AbortSignal,
    ) => WorkLines<{ readonly type: string; readonly [key: string]: unknown }>;
    /** All lines of a push, with the line of its failure. */
    readonly push: (
        image: WholeImage,
        input?: PushChanges,
        context?: Partial<RequestContext>,
    ) => Promise<readonly Told[]>;
}

/** What a push is asked for with, where it differs. */
export interface PushChanges {
    readonly repoAndTag?: string;
    readonly body?: JsonObject;
    readonly auth?: object;
}

/** Sets up services and a registry in memory. */
export async function pushBench(t: Test, options: BenchOptions = {}): Promise<PushBench> {
    const bench = await makeBench(t, { ...options, config: { mode: 'dc', ...options.config } });
    const registry = new MemoryRepository();
    const registries = {
        open: (_repository: unknown, use: RepositoryUse) => {
            registry.uses.push(use);
            return registry;
        },
    };
    const services = { ...bench.services, registries };
    const wanted: PushBench['wanted'] = (image, { repoAndTag = 'quay.io/a/b:1', body, auth } = {}) =>
        requirePush(
            services,
            bench.context(),
            { type: 'docker' },
            {
                repoAndTag,
                body: pushBody(image, body),
                headers:
                    auth === undefined ? {} : { auth: Buffer.from(JSON.stringify(auth)).toString('base64') },
            },
        );
    const begin: PushBench['begin'] = (push, context = {}, signal = new AbortController().signal) =>
        new WorkLines(pushImage(services, bench.context(context), push), signal);
    return {
        bench,
        registry,
        wanted,
        begin,
        plant: async (image, repo) => {
            for (const [at, fixture] of layerFixtures(image, repo, true).entries()) {
                await bench.plant(rawRecord(fixture));
                await bench.plantFile(fixture.uuid, 'file0', layerBytes(image, at));
            }
        },
        push: async (image, input, context) => readAll(begin(wanted(image, input), context)),
    };
}

/** The lines to the end, that of a failure included. */
export async function readAll(lines: AsyncIterable<Told>): Promise<readonly Told[]> {
    const told: Told[] = [];
    try {
        for await (const line of lines) told.push(line);
    } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        told.push({ ...pushError(error, REQUEST_ID) });
    }
    return told;
}
