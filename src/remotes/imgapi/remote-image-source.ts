import type { AnswerHeaders, OutgoingHttp, OutgoingRequest } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { JsonObject } from '../../manifest/types.js';
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

function textOf(headers: AnswerHeaders, name: string): string | undefined {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
}

/** An entity tag without its quotes; weak ones are of no use for ranges. */
function etagOf(headers: AnswerHeaders): string | undefined {
    const etag = textOf(headers, 'etag');
    return etag === undefined || etag.startsWith('W/') ? undefined : etag.replace(/^"(.*)"$/, '$1');
}

function lengthOf(headers: AnswerHeaders): number | undefined {
    const length = textOf(headers, 'content-length');
    return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

/** `bytes 5-9/10`; the total may be `*`. */
function rangeOf(headers: AnswerHeaders): { readonly start: number; readonly size?: number } | undefined {
    const [, start, size] =
        /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(textOf(headers, 'content-range') ?? '') ?? [];
    if (start === undefined || size === undefined) {
        return undefined;
    }
    return { start: Number(start), ...(size === '*' ? {} : { size: Number(size) }) };
}

function extent(
    status: number,
    headers: AnswerHeaders,
    resume: ResumePoint | undefined,
): { readonly start: number; readonly size?: number } | undefined {
    if (status === 206) {
        const range = rangeOf(headers);
        return range?.start === resume?.offset ? range : undefined;
    }
    const size = lengthOf(headers);
    return { start: 0, ...(size === undefined ? {} : { size }) };
}

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
            timeouts: { totalMs: MANIFEST_LIMIT_MS },
        });
        if (typeof body !== 'object' || body === null || Array.isArray(body)) {
            throw new OutgoingError('malformed', `the manifest of image ${uuid} is no object`);
        }
        return body as JsonObject;
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
            headers: {
                ...asked.headers,
                ...(resume === undefined
                    ? {}
                    : { range: `bytes=${resume.offset}-`, 'if-range': `"${resume.etag}"` }),
            },
        });
        const { status, headers, body } = answer;
        const found = extent(status, headers, resume);
        if (found === undefined) {
            body.on('error', () => undefined).destroy();
            throw new OutgoingError('malformed', `another part of the file of image ${uuid} than asked for`);
        }
        const etag = etagOf(headers);
        const contentMD5 = textOf(headers, 'content-md5');
        return {
            ...found,
            ...(etag === undefined ? {} : { etag }),
            ...(contentMD5 === undefined ? {} : { contentMD5 }),
            body,
            failure: (error) => answer.failure(error),
        };
    }

    #request(path: string, request: SourceRequest): OutgoingRequest {
        const { url, channel, supplier } = this.#address;
        const { account, requestId, signal } = request;
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
