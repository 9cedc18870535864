import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { buffer } from 'node:stream/consumers';
import {
    makeImage,
    makeIndex,
    MEDIA_TYPES,
    sha256Digest,
    type ImageSpec,
    type IndexSpec,
    type MadeBytes,
    type MadeImage,
    type MadeIndex,
} from './docker-images.js';
import { makeSchema1, type Schema1Image, type Schema1Spec } from './docker-schema1.js';

const ANSWER_LIMIT_MS = 20_000;

/** A whole answer of a registry. */
export interface RegistryAnswer {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
    readonly body: Buffer;
}

/** Who asks. */
export interface RegistryUser {
    readonly username: string;
    readonly password: string;
}

interface Sent {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Buffer;
}

/** Sends one request; certificates are not looked at. */
async function send(method: string, url: string, { headers, body }: Sent = {}): Promise<RegistryAnswer> {
    return new Promise((resolve, reject) => {
        const request = url.startsWith('https:') ? httpsRequest : httpRequest;
        const outgoing = request(url, {
            method,
            headers: { ...headers, ...(body === undefined ? {} : { 'content-length': body.length }) },
            rejectUnauthorized: false,
            timeout: ANSWER_LIMIT_MS,
        });
        outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer to ${method} ${url}`)));
        outgoing.once('error', reject);
        outgoing.once('response', (message) => {
            buffer(message).then(
                (bytes) =>
                    resolve({ status: message.statusCode ?? 0, headers: message.headers, body: bytes }),
                reject,
            );
        });
        outgoing.end(body);
    });
}

/** Puts things straight into a registry, whatever they are, and takes them out again. */
export class RegistryClient {
    readonly #url: string;
    readonly #user: RegistryUser | undefined;

    /** @param url without a path */
    constructor(url: string, user?: RegistryUser) {
        this.#url = url;
        this.#user = user;
    }

    /** Sends a request, with a token or credentials if it must be. @param path below `/v2/`, or a whole URL */
    async request(method: string, path: string, sent: Sent = {}): Promise<RegistryAnswer> {
        const url = new URL(path, `${this.#url}/v2/`).href;
        const answer = await send(method, url, sent);
        if (answer.status !== 401) return answer;
        const authorization = await this.#authorization(answer.headers['www-authenticate'] ?? '');
        return send(method, url, { ...sent, headers: { ...sent.headers, authorization } });
    }

    async putBlob(repository: string, bytes: Buffer): Promise<void> {
        const begun = must(await this.request('POST', `${repository}/blobs/uploads/`), 202, 'an upload');
        const location = new URL(begun.headers.location ?? '', this.#url);
        location.searchParams.set('digest', sha256Digest(bytes));
        const headers = { 'content-type': 'application/octet-stream' };
        must(await this.request('PUT', location.href, { headers, body: bytes }), 201, 'a blob');
    }

    /** @returns the digest that the registry has given it */
    async putManifest(
        repository: string,
        reference: string,
        { mediaType, bytes }: Pick<MadeBytes, 'mediaType' | 'bytes'>,
    ): Promise<string> {
        const headers = { 'content-type': mediaType };
        const path = `${repository}/manifests/${reference}`;
        const answer = must(await this.request('PUT', path, { headers, body: bytes }), 201, 'a manifest');
        return String(answer.headers['docker-content-digest']);
    }

    /** Makes an image and puts it there. */
    async putImage(repository: string, tag: string, spec: ImageSpec): Promise<MadeImage> {
        const image = await makeImage(spec, ({ bytes }) => this.putBlob(repository, bytes));
        await this.putManifest(repository, tag, image);
        return image;
    }

    /** Makes an index and puts it there, with everything it leads to. */
    async putIndex(repository: string, tag: string, spec: IndexSpec): Promise<MadeIndex> {
        const index = await makeIndex(spec, ({ bytes }) => this.putBlob(repository, bytes));
        for (const image of [...index.images, ...index.attestations]) {
            await this.putManifest(repository, image.digest, image);
        }
        await this.putManifest(repository, tag, index);
        return index;
    }

    /** Makes an image of schema 1 and puts it there. */
    async putSchema1(spec: Schema1Spec): Promise<Schema1Image> {
        const image = await makeSchema1(spec, ({ bytes }) => this.putBlob(spec.name, bytes));
        await this.putManifest(spec.name, spec.tag, image);
        return image;
    }

    /** A manifest of whatever kind. */
    async manifest(repository: string, reference: string): Promise<RegistryAnswer> {
        const accept = Object.values(MEDIA_TYPES)
            .flatMap(({ manifest, index }) => [manifest, index])
            .join(', ');
        return this.request('GET', `${repository}/manifests/${reference}`, { headers: { accept } });
    }

    async blob(repository: string, digest: string): Promise<RegistryAnswer> {
        return this.request('GET', `${repository}/blobs/${digest}`);
    }

    async #authorization(challenge: string): Promise<string> {
        const user = this.#user;
        const basic =
            user === undefined
                ? undefined
                : `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`;
        const fields = new Map(
            [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
        );
        const realm = fields.get('realm');
        if (!challenge.startsWith('Bearer ') || realm === undefined) return basic ?? '';
        const url = new URL(realm);
        for (const key of ['service', 'scope']) url.searchParams.set(key, fields.get(key) ?? '');
        const headers = basic === undefined ? {} : { authorization: basic };
        const { token } = JSON.parse((await send('GET', url.href, { headers })).body.toString()) as {
            readonly token?: string;
        };
        return `Bearer ${token ?? ''}`;
    }
}

function must(answer: RegistryAnswer, status: number, what: string): RegistryAnswer {
    if (answer.status !== status) throw new Error(`${what}: ${answer.status} ${answer.body.toString()}`);
    return answer;
}
