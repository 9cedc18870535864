import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import semver from 'semver';
import { HttpService, type HttpServiceOptions, sendJson, type ServedRequest } from '../http-service.js';
import { sendFile } from './send-file.js';
import { fileEntry, happens, type ServedFile, type ServedImage } from './served-image.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const VERSIONS = ['1.0.0', '2.0.0'];

/** What an {@link ImageServerDouble} is like. */
export interface ImageServerOptions extends HttpServiceOptions {
    /** Names; the first is the default one. Absent: the server has no channels. */
    readonly channels?: readonly string[];
    /** Path the server lies under, e.g. `/imgapi`. */
    readonly prefix?: string;
    /** `user:password` that every request needs. */
    readonly credentials?: string;
}

/** A request for a file, as far as tests look at it. */
export interface FileRequest {
    readonly range: string | undefined;
    readonly ifRange: string | undefined;
}

/** An error as image servers answer it. */
class Refusal extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly headers: Readonly<Record<string, string>> = {},
    ) {
        super(message);
    }
}

/** Another image server, as far as images are copied from it (jobs-and-imports 3, 10), over real HTTP. */
export class ImageServerDouble extends HttpService {
    readonly images = new Map<string, ServedImage>();
    /** Called with each request before it is looked at, e.g. to change what is answered. */
    before: (request: ServedRequest) => void = () => undefined;
    readonly #options: ImageServerOptions;

    constructor(options: ImageServerOptions = {}) {
        super((request, response) => void this.#answer(request, response), options);
        this.#options = options;
    }

    /** The URL with the path the server lies under. */
    get address(): string {
        return `${this.url}${this.#options.prefix ?? ''}`;
    }

    /**
     * Adds an image, or puts it in the place of one.
     *
     * @param manifest fields that differ from those of an active, public image; `files` is made from the files
     */
    add(
        manifest: Readonly<Record<string, unknown>> & { readonly uuid: string },
        files: readonly (Buffer | ServedFile)[] = [],
    ): ServedImage {
        const served = files.map((file) => (Buffer.isBuffer(file) ? { bytes: file } : file));
        const { channels } = this.#options;
        const image: ServedImage = {
            manifest: {
                v: 2,
                owner: '00000000-0000-0000-0000-000000000000',
                name: 'base',
                version: '1.0.0',
                state: 'active',
                disabled: false,
                public: true,
                published_at: '2020-02-03T04:05:06.789Z',
                type: 'zone-dataset',
                os: 'smartos',
                ...(served.length === 0 ? {} : { files: served.map(({ bytes }) => fileEntry(bytes)) }),
                ...(channels === undefined ? {} : { channels: channels.slice(0, 1) }),
                ...manifest,
            },
            files: served,
            onManifest: {},
        };
        this.images.set(manifest.uuid, image);
        return image;
    }

    /** The requests for a file of an image, in order. */
    fileRequests(uuid: string, index = 0): readonly FileRequest[] {
        const path = `${this.#options.prefix ?? ''}/images/${uuid}/file`;
        return this.requests
            .filter((one) => one.path === path && Number(one.query.get('index') ?? '0') === index)
            .map(({ headers }) => ({
                range: headers.range,
                ifRange: headers['if-range'] === undefined ? undefined : String(headers['if-range']),
            }));
    }

    async #answer(request: ServedRequest, response: ServerResponse): Promise<void> {
        try {
            this.before(request);
            await this.#serve(request, response);
        } catch (error) {
            if (!(error instanceof Refusal)) {
                response.destroy();
                throw error;
            }
            const { status, code, message, headers } = error;
            sendJson(response, status, { code, message }, headers);
        }
    }

    async #serve(request: ServedRequest, response: ServerResponse): Promise<void> {
        const { prefix = '' } = this.#options;
        const missing = new Refusal(404, 'ResourceNotFound', `${request.path} does not exist`);
        if (!request.path.startsWith(`${prefix}/`)) throw missing;
        const [, top, uuid = '', part, ...rest] = request.path.slice(prefix.length).split('/');
        if (top === 'ping' && uuid === '') {
            sendJson(response, 200, { ping: 'pong', version: '4.13.1', imgapi: true });
            return;
        }
        if (top !== 'images' || uuid === '' || !['file', undefined].includes(part) || rest.length > 0) {
            throw missing;
        }
        this.#requireForm(request);
        if (!UUID.test(uuid)) throw new Refusal(404, 'ResourceNotFound', `${request.target} does not exist`);
        const image = this.#find(uuid, request.query);
        await (part === undefined ? sendManifest(image, response) : this.#sendFile(image, request, response));
    }

    /** Credentials, method and version. */
    #requireForm({ method, headers, path }: ServedRequest): void {
        const { credentials } = this.#options;
        const expected = `Basic ${Buffer.from(credentials ?? '').toString('base64')}`;
        if (credentials !== undefined && headers.authorization !== expected) {
            throw new Refusal(401, 'UnauthorizedError', 'Unauthorized');
        }
        if (method !== 'GET' && method !== 'HEAD') {
            throw new Refusal(405, 'MethodNotAllowedError', `${method} is not allowed`, { allow: 'GET' });
        }
        const version = String(headers['accept-version'] ?? '*');
        if (semver.validRange(version) === null || semver.maxSatisfying(VERSIONS, version) === null) {
            throw new Refusal(400, 'InvalidVersion', `${version} is not supported by ${method} ${path}`);
        }
    }

    /** The image, if the one who asks may know of it (http-api 1.12, 1.15). */
    #find(uuid: string, query: URLSearchParams): ServedImage {
        const { channels } = this.#options;
        const channel = query.get('channel') ?? channels?.[0];
        if (channels !== undefined && channel !== '*' && !channels.includes(channel ?? '')) {
            throw new Refusal(422, 'ValidationFailed', `unknown channel: ${channel ?? ''}`);
        }
        const account = query.get('account') ?? '';
        if (account !== '' && !UUID.test(account)) {
            throw new Refusal(422, 'InvalidParameter', `invalid "account": not a UUID: "${account}"`);
        }
        const image = this.images.get(uuid);
        if (image === undefined) throw new Refusal(404, 'ResourceNotFound', `image ${uuid} not found`);
        const { manifest } = image;
        const isIn = (list: unknown, item: string | undefined): boolean =>
            Array.isArray(list) && list.includes(item);
        const isThere = channels === undefined || channel === '*' || isIn(manifest['channels'], channel);
        const isActivated = manifest['state'] === 'active' || manifest['state'] === 'disabled';
        const mayKnow =
            account === '' ||
            manifest['owner'] === account ||
            (isActivated && (manifest['public'] === true || isIn(manifest['acl'], account)));
        if (!isThere || !mayKnow) throw new Refusal(404, 'ResourceNotFound', 'image not found');
        return image;
    }

    async #sendFile(image: ServedImage, request: ServedRequest, response: ServerResponse): Promise<void> {
        const uuid = String(image.manifest['uuid']);
        const index = Number.parseInt(request.query.get('index') ?? '0', 10) || 0;
        const file = image.files[index];
        if (file === undefined) {
            const what = image.files.length === 0 ? 'no file' : `no file at index ${index}`;
            throw new Refusal(404, 'ResourceNotFound', `image "${uuid}" has ${what}`);
        }
        await sendFile(file, request, response);
    }
}

async function sendManifest({ manifest, onManifest }: ServedImage, response: ServerResponse): Promise<void> {
    if (onManifest.delayMs !== undefined) await delay(onManifest.delayMs);
    if (happens(onManifest.hang)) return;
    const { refuse } = onManifest;
    if (refuse !== undefined && happens(refuse)) {
        sendJson(response, refuse.status, refuse.body ?? {}, refuse.headers);
        return;
    }
    sendJson(response, 200, manifest);
}
