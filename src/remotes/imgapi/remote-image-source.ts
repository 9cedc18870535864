import type { OutgoingHttp, OutgoingRequest } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { JsonObject } from '../../manifest/types.js';
import { openedFile, partHeaders } from '../file-parts.js';
import type {
    ImageSource,
    ImageSources,
    OpenedSourceFile,
    ResumePoint,
    SourceAddress,
    SourceRequest,
} from '../image-source.js';

/** For the headers and the whole of a manifest, milliseconds. */
const MANIFEST_LIMIT_MS = 60_000;

/** Another image server over HTTP (jobs-and-imports 0.5, 10). */
export class RemoteImageSource implements ImageSource {
    readonly #http: OutgoingHttp;
    readonly #address: SourceAddress;

    constructor(http: OutgoingHttp, address: SourceAddress) {
        this.#http = http;
        this.#address = address;
    }

    async manifest(uuid: string, request: SourceRequest): Promise<JsonObject> {
        const { body } = await (
            await this.#http()
        ).json({
            ...this.#request(`/images/${uuid}`, request),
            timeouts: { ...request.timeouts, totalMs: MANIFEST_LIMIT_MS },
        });
        if (typeof body !== 'object' || body === null || Array.isArray(body)) {
            throw new OutgoingError('malformed', `the manifest of image ${uuid} is no object`);
        }
        const manifest = body as JsonObject;
        if (manifest['uuid'] !== uuid) {
            throw new OutgoingError('malformed', `the manifest of image ${uuid} is that of another image`);
        }
        return manifest;
    }

    async openFile(
        uuid: string,
        index: number,
        request: SourceRequest & { readonly resume?: ResumePoint },
    ): Promise<OpenedSourceFile> {
        const { resume } = request;
        const asked = this.#request(`/images/${uuid}/file`, request);
        const answer = await (
            await this.#http()
        ).open({
            ...asked,
            query: { ...asked.query, ...(index === 0 ? {} : { index: String(index) }) },
            headers: { ...asked.headers, ...partHeaders(resume) },
        });
        return openedFile(answer, resume);
    }

    #request(path: string, request: SourceRequest): OutgoingRequest {
        const { url, channel, supplier } = this.#address;
        const { account, requestId, signal, timeouts } = request;
        return {
            url: `${url}${path}`,
            peer: 'image-server',
            supplier,
            query: {
                ...(account === undefined ? {} : { account }),
                ...(channel === undefined ? {} : { channel }),
            },
            headers: { 'accept-version': '*' },
            ...(requestId === undefined ? {} : { requestId }),
            ...(timeouts === undefined ? {} : { timeouts }),
            signal,
        };
    }
}

/** Image servers that are asked over HTTP. */
export class RemoteImageSources implements ImageSources {
    readonly #http: OutgoingHttp;

    constructor(http: OutgoingHttp) {
        this.#http = http;
    }

    at(address: SourceAddress): ImageSource {
        return new RemoteImageSource(this.#http, address);
    }
}
