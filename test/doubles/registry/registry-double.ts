import {
    makeImage,
    makeIndex,
    type ImageSpec,
    type IndexSpec,
    type MadeBytes,
    type MadeImage,
    type MadeIndex,
    type PutBlob,
} from '../../helpers/docker-images.js';
import { makeSchema1, type Schema1Image, type Schema1Spec } from '../../helpers/docker-schema1.js';
import { Gatekeeper, type RegistryAuth } from './access.js';
import { answer, beforeChange, receive, sendBytes, type RegistryCall } from './call.js';
import type { RegistryCallKind, RegistryRequestLog } from './faults.js';
import { LoopbackServer, type Tls } from './loopback-server.js';
import type { ObjectStoreDouble } from './object-store.js';
import { RegistryError } from './registry-error.js';
import { digestOfManifest, Repositories, type StoredManifest } from './repositories.js';
import { Uploads, type UploadLocation, type UploadPlace } from './uploads.js';

/** What a {@link RegistryDouble} is like. */
export interface RegistryDoubleOptions {
    readonly auth?: RegistryAuth;
    readonly tls?: Tls;
}

const PLACE = /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs|tags)\/([^/]*)$/;
const KINDS: Readonly<Record<string, RegistryCallKind>> = {
    'GET manifests': 'get-manifest',
    'HEAD manifests': 'head-manifest',
    'PUT manifests': 'put-manifest',
    'GET blobs': 'get-blob',
    'HEAD blobs': 'head-blob',
    'POST blobs/uploads': 'start-upload',
    'PATCH blobs/uploads': 'patch-upload',
    'PUT blobs/uploads': 'put-upload',
};

interface Place {
    readonly repository: string;
    /** Last part of the path: a tag, a digest, an upload. */
    readonly last: string;
}

/**
 * A Docker registry that keeps everything in memory: speaks version 2 of the protocol, checks what it is sent, lets
 * in whom it should, and does what is wrong when it is told to.
 */
export class RegistryDouble extends LoopbackServer {
    readonly repositories = new Repositories();
    readonly uploads = new Uploads();
    /** Whether blobs may be taken from other repositories; otherwise one has to bring them. */
    mounts = true;
    /** How the place of an upload is told. */
    uploadLocation: UploadLocation = 'absolute';
    /** Who wants a blob is sent there. */
    objectStore: { readonly store: ObjectStoreDouble; readonly status: number } | undefined;
    readonly #keeper: Gatekeeper;

    constructor(options: RegistryDoubleOptions = {}) {
        super(options.tls);
        this.#keeper = new Gatekeeper(options.auth ?? {});
    }

    /** From now on no token is good any more that has been shown so far. */
    expireTokens(): void {
        this.#keeper.expireTokens();
    }

    /** Puts an image there. @param tag absent: only its digest leads to it */
    async putImage(repository: string, tag: string | undefined, spec: ImageSpec): Promise<MadeImage> {
        const image = await makeImage(spec, this.#putInto(repository));
        this.putManifest(repository, tag ?? image.digest, image);
        return image;
    }

    /** Puts an index there, with everything it leads to. */
    async putIndex(repository: string, tag: string, spec: IndexSpec): Promise<MadeIndex> {
        const index = await makeIndex(spec, this.#putInto(repository));
        for (const image of [...index.images, ...index.attestations]) {
            this.putManifest(repository, image.digest, image);
        }
        this.putManifest(repository, tag, index);
        return index;
    }

    async putSchema1(spec: Schema1Spec): Promise<Schema1Image> {
        const image = await makeSchema1(spec, this.#putInto(spec.name));
        this.putManifest(spec.name, spec.tag, image);
        return image;
    }

    /** Puts any bytes there as a manifest; nobody checks its digest, nor what it says. */
    putManifest(repository: string, reference: string, { mediaType, digest, bytes }: MadeBytes): void {
        this.repositories.putManifest(repository, reference, { mediaType, digest, bytes });
    }

    /** The requests for a blob, in order; where others are sent elsewhere, those are counted there. */
    downloads(digest: string): readonly RegistryRequestLog[] {
        return this.requests({ kind: 'get-blob', path: (path) => path.endsWith(`/${digest}`) });
    }

    protected override kindOf(method: string, path: string): RegistryCallKind {
        if (path === '/v2/' || path === '/v2') return 'ping';
        const [, , what = ''] = PLACE.exec(path) ?? [];
        return KINDS[`${method} ${what}`] ?? 'other';
    }

    protected override async handle(call: RegistryCall): Promise<void> {
        const { kind, path } = call.logged;
        call.response.setHeader('docker-distribution-api-version', 'registry/2.0');
        const [, repository = '', what = '', last = ''] = PLACE.exec(path) ?? [];
        const isWrite = ['put-manifest', 'start-upload', 'patch-upload', 'put-upload'].includes(kind);
        const actions = isWrite ? ['pull', 'push'] : ['pull'];
        this.#keeper.check(call.request.headers, repository === '' ? undefined : repository, actions);
        const place = { repository, last };
        switch (kind) {
            case 'ping':
                answer(call, 200, { 'content-type': 'application/json' }, '{}');
                return;
            case 'get-manifest':
            case 'head-manifest':
                await this.#sendManifest(call, place);
                return;
            case 'put-manifest':
                await this.#takeManifest(call, place);
                return;
            case 'get-blob':
            case 'head-blob':
                await this.#sendBlob(call, place);
                return;
            case 'start-upload':
                await this.uploads.start(call, repository, this.#uploadPlace(call));
                return;
            case 'patch-upload':
                await this.uploads.patch(call, repository, last, this.#uploadPlace(call));
                return;
            case 'put-upload':
                await this.uploads.finish(call, repository, last, this.#uploadPlace(call));
                return;
            default:
                this.#others(call, what, place);
        }
    }

    #putInto(repository: string): PutBlob {
        return ({ bytes }) => this.repositories.putBlob(repository, bytes);
    }

    #uploadPlace({ request }: RegistryCall): UploadPlace {
        const { url, repositories, uploadLocation: location } = this;
        const { authorization = '' } = request.headers;
        const mayMount = (from: string): boolean =>
            this.mounts && this.#keeper.mayDo(authorization, from, ['pull']);
        return { url, repositories, location, mayMount };
    }

    #find({ repository, last }: Place): StoredManifest {
        const manifest = this.repositories.manifest(repository, last);
        if (manifest !== undefined) return manifest;
        if (!this.repositories.isThere(repository)) {
            throw new RegistryError(404, 'NAME_UNKNOWN', 'repository name not known to registry', {
                detail: { name: repository },
            });
        }
        throw new RegistryError(404, 'MANIFEST_UNKNOWN', 'manifest unknown', { detail: { Tag: last } });
    }

    /** As real ones, it has no ranges of manifests. */
    async #sendManifest(call: RegistryCall, place: Place): Promise<void> {
        const { mediaType, digest, bytes } = this.#find(place);
        await sendBytes({ ...call, fault: { ranges: 'ignored', ...call.fault } }, bytes, {
            'content-type': mediaType,
            'docker-content-digest': digest,
            etag: `"${digest}"`,
        });
    }

    async #takeManifest(call: RegistryCall, { repository, last }: Place): Promise<void> {
        const bytes = await receive(call);
        const mediaType = call.request.headers['content-type'] ?? '';
        const digest = this.#checked(bytes, mediaType, repository);
        if (last.startsWith('sha256:') && last !== digest) {
            throw new RegistryError(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
        }
        beforeChange(call);
        this.putManifest(repository, last, { mediaType, digest, bytes });
        answer(call, 201, {
            location: `${this.url}/v2/${repository}/manifests/${digest}`,
            'docker-content-digest': digest,
        });
    }

    /** The digest of a manifest that is one, and leads to nothing that is not there. @throws RegistryError */
    #checked(bytes: Buffer, mediaType: string, repository: string): string {
        let digest: string;
        let references: readonly string[];
        try {
            const value = JSON.parse(bytes.toString()) as {
                readonly mediaType?: string;
                readonly config?: { readonly digest: string };
                readonly layers?: readonly { readonly digest: string }[];
                readonly manifests?: readonly { readonly digest: string }[];
            };
            if (value.mediaType !== undefined && value.mediaType !== mediaType)
                throw new Error('another type');
            digest = digestOfManifest(bytes, mediaType);
            references = [value.config, ...(value.layers ?? []), ...(value.manifests ?? [])].flatMap((one) =>
                one === undefined ? [] : [one.digest],
            );
        } catch (error) {
            throw new RegistryError(400, 'MANIFEST_INVALID', 'manifest invalid', { detail: String(error) });
        }
        const missing = references.filter(
            (one) =>
                this.repositories.blob(repository, one) === undefined &&
                this.repositories.manifest(repository, one) === undefined,
        );
        if (missing.length > 0) {
            throw new RegistryError(400, 'MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', {
                detail: missing,
            });
        }
        return digest;
    }

    async #sendBlob(call: RegistryCall, { repository, last }: Place): Promise<void> {
        const bytes = this.repositories.blob(repository, last);
        if (bytes === undefined) {
            throw new RegistryError(404, 'BLOB_UNKNOWN', 'blob unknown to registry', { detail: last });
        }
        if (this.objectStore !== undefined && call.request.method === 'GET') {
            answer(call, this.objectStore.status, { location: this.objectStore.store.link(bytes) });
            return;
        }
        await sendBytes(call, bytes, {
            'content-type': 'application/octet-stream',
            'docker-content-digest': last,
            etag: `"${last}"`,
            'accept-ranges': 'bytes',
        });
    }

    #others(call: RegistryCall, what: string, { repository, last }: Place): void {
        if (call.request.method !== 'GET' || what !== 'tags' || last !== 'list') {
            throw new RegistryError(404, 'UNSUPPORTED', 'The operation is unsupported.');
        }
        const tags = this.repositories.tags(repository);
        answer(call, 200, { 'content-type': 'application/json' }, JSON.stringify({ name: repository, tags }));
    }
}
