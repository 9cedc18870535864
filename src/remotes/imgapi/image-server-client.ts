import type { Readable } from 'node:stream';
import type { HttpClient, JsonRequest, OpenAnswer, OutgoingRequest } from '../../base/http-client.js';
import { jsonMembers, NoSuchObject, type JsonMember } from '../../base/json-members.js';
import { discard } from '../../base/http-redirects.js';
import type { JsonObject } from '../../manifest/types.js';
import type { StoredFileFacts, StoredFileName } from '../../storage/storage.js';
import {
    documentOf,
    documentsOf,
    fileFactsOf,
    imageOf,
    imagesOf,
    jobOf,
    startedJobOf,
    stateOf,
    type ImageDocument,
    type RemoteImage,
    type RemoteJob,
    type RemoteState,
} from './answers.js';
import { isNotFound } from './list-pages.js';
import type { RequestSigner } from './request-signer.js';

/** Images of a page of a list. Manifests may be large, so few. */
const PAGE_SIZE = 100;
/** Largest page, bytes. */
const MAX_PAGE_BYTES = 64 * 1024 * 1024;
/** All channels, for requests that only read. */
const EVERY_CHANNEL = '*';

/** Where the state of a server has its records, each as `value` of an object. */
const RECORDS_OF_STATE = ['db', 'manifestFromUuid'];

/** What an {@link ImageServerClient} is made from. */
export interface ImageServerClientOptions {
    readonly http: HttpClient;
    readonly url: string;
    /** Absent: requests are not signed. */
    readonly signer?: RequestSigner;
    /** Only images of this channel; absent: of all. */
    readonly channel?: string;
}

/** Another image server, or one's own from outside, as an operator uses it. */
export class ImageServerClient {
    readonly #http: HttpClient;
    readonly #url: string;
    readonly #signer: RequestSigner | undefined;
    readonly #channel: string | undefined;

    constructor(options: ImageServerClientOptions) {
        this.#http = options.http;
        this.#url = options.url.replace(/\/+$/, '');
        this.#signer = options.signer;
        this.#channel = options.channel;
    }

    /** AdminGetState, without records. @throws OutgoingError */
    async state(signal: AbortSignal): Promise<RemoteState> {
        return stateOf(await this.#ask('/state', { query: { db: 'false' }, signal }));
    }

    /**
     * The records of AdminGetState as the server holds them, each as it comes and by the name it has there.
     *
     * @param maxBytes longest record
     * @throws NoSuchObject when the server shows none, as on Moray; OutgoingError
     */
    async *records(maxBytes: number, signal: AbortSignal): AsyncGenerator<JsonMember, void, undefined> {
        const answer = await this.#http.open({ ...this.#order('/state'), signal });
        try {
            yield* jsonMembers(answer.body, RECORDS_OF_STATE, maxBytes);
        } catch (error) {
            throw error instanceof NoSuchObject ? error : answer.failure(error);
        }
    }

    /** GetImage; `undefined`: there is none. @throws OutgoingError */
    async image(uuid: string, signal: AbortSignal): Promise<RemoteImage | undefined> {
        try {
            const query = { channel: this.#channel ?? EVERY_CHANNEL, inclAdminFields: 'true' };
            return imageOf(await this.#ask(`/images/${uuid}`, { query, signal }));
        } catch (error) {
            if (isNotFound(error)) {
                return undefined;
            }
            throw error;
        }
    }

    /** A page of ListImages, in any state, oldest first, from the image `marker` on. @throws OutgoingError */
    async page(marker: string | undefined, signal: AbortSignal): Promise<readonly RemoteImage[]> {
        const query = {
            state: 'all',
            channel: this.#channel ?? EVERY_CHANNEL,
            inclAdminFields: 'true',
            limit: String(PAGE_SIZE),
            ...(marker === undefined ? {} : { marker }),
        };
        return imagesOf(await this.#ask('/images', { query, signal, maxBytes: MAX_PAGE_BYTES }));
    }

    /**
     * A page of ListImages as it is sent, oldest first, from the image `marker` on.
     *
     * @param filters parameters of the list
     * @throws OutgoingError
     */
    async documents(
        filters: Readonly<Record<string, string>>,
        marker: string | undefined,
        signal: AbortSignal,
    ): Promise<readonly ImageDocument[]> {
        const query = {
            ...this.#channelOr(undefined),
            ...filters,
            limit: String(PAGE_SIZE),
            ...(marker === undefined ? {} : { marker }),
        };
        return documentsOf(await this.#ask('/images', { query, signal, maxBytes: MAX_PAGE_BYTES }));
    }

    /**
     * GetImage as it is sent; `undefined`: there is none.
     *
     * @param parameters of the request
     * @throws OutgoingError
     */
    async document(
        uuid: string,
        signal: AbortSignal,
        parameters: Readonly<Record<string, string>> = {},
    ): Promise<ImageDocument | undefined> {
        try {
            const query = { ...this.#channelOr(undefined), ...parameters };
            return documentOf(await this.#ask(`/images/${uuid}`, { query, signal }));
        } catch (error) {
            if (isNotFound(error)) {
                return undefined;
            }
            throw error;
        }
    }

    /** Facts of GetImageFile and GetImageIcon, without the bytes; `undefined`: there are none. @throws OutgoingError */
    async fileFacts(
        uuid: string,
        name: StoredFileName,
        signal: AbortSignal,
    ): Promise<StoredFileFacts | undefined> {
        const answer = await this.#openFile(uuid, name, { method: 'HEAD', signal });
        if (answer === undefined) {
            return undefined;
        }
        discard(answer.body);
        return fileFactsOf(answer.headers);
    }

    /** GetImageFile and GetImageIcon; `undefined`: there is none. @throws OutgoingError */
    async openFile(
        uuid: string,
        name: StoredFileName,
        signal: AbortSignal,
    ): Promise<(StoredFileFacts & { readonly stream: Readable }) | undefined> {
        const answer = await this.#openFile(uuid, name, { signal });
        return answer && { ...fileFactsOf(answer.headers), stream: answer.body };
    }

    async #openFile(
        uuid: string,
        name: StoredFileName,
        request: Pick<OutgoingRequest, 'method' | 'signal'>,
    ): Promise<OpenAnswer | undefined> {
        const [path, index] = name === 'icon' ? ['icon', {}] : ['file', { index: name.slice('file'.length) }];
        try {
            return await this.#http.open({
                ...request,
                ...this.#order(`/images/${uuid}/${path}`),
                query: { channel: this.#channel ?? EVERY_CHANNEL, ...index },
            });
        } catch (error) {
            if (isNotFound(error)) {
                return undefined;
            }
            throw error;
        }
    }

    /**
     * AdminImportRemoteImage: has the server copy an image from another one, its origins before it.
     *
     * @returns the job that does it
     * @throws OutgoingError
     */
    async importFrom(
        source: string,
        uuid: string,
        options: { readonly skipOwnerCheck: boolean },
        signal: AbortSignal,
    ): Promise<string> {
        const query = {
            action: 'import-remote',
            source,
            ...(options.skipOwnerCheck ? { skip_owner_check: 'true' } : {}),
            ...this.#channelOr(undefined),
        };
        return startedJobOf(await this.#ask(`/images/${uuid}`, { method: 'POST', query, signal }));
    }

    /** How far a job is. @throws OutgoingError */
    async job(uuid: string, signal: AbortSignal): Promise<RemoteJob> {
        return jobOf(await this.#ask(`/jobs/${uuid}/progress`, { signal }));
    }

    /** UpdateImage. @param channel one the image is in; `undefined` on a server without channels @throws OutgoingError */
    async update(
        uuid: string,
        fields: JsonObject,
        channel: string | undefined,
        signal: AbortSignal,
    ): Promise<void> {
        const query = { action: 'update', ...this.#channelOr(channel) };
        await this.#ask(`/images/${uuid}`, { method: 'POST', query, body: fields, signal });
    }

    /**
     * DeleteImage, from all channels unless this client is for one.
     *
     * @param channel one the image is in; `undefined` on a server without channels
     * @throws OutgoingError
     */
    async remove(uuid: string, channel: string | undefined, signal: AbortSignal): Promise<void> {
        const query = {
            ...(this.#channel === undefined ? { force_all_channels: 'true' } : {}),
            ...this.#channelOr(channel),
        };
        await this.#ask(`/images/${uuid}`, { method: 'DELETE', query, signal });
    }

    #channelOr(channel: string | undefined): Readonly<Record<string, string>> {
        const name = this.#channel ?? channel;
        return name === undefined ? {} : { channel: name };
    }

    /**
     * AdminChangeImageStor of everything an image has. The server answers when it is done, so there is
     * no limit to the time it takes.
     *
     * @param channel one the image is in; `undefined` on a server without channels
     * @returns the image as it is then
     * @throws OutgoingError
     */
    async changeStorage(
        uuid: string,
        stor: string,
        channel: string | undefined,
        signal: AbortSignal,
    ): Promise<RemoteImage> {
        const query = {
            action: 'change-stor',
            stor,
            all: 'true',
            ...(channel === undefined ? {} : { channel }),
        };
        const timeouts = { headersMs: 0, totalMs: 0 };
        return imageOf(await this.#ask(`/images/${uuid}`, { method: 'POST', query, signal, timeouts }));
    }

    async #ask(path: string, request: Omit<JsonRequest, 'url' | 'peer' | 'headers'>): Promise<unknown> {
        const { body } = await this.#http.json({ ...request, ...this.#order(path) });
        return body;
    }

    /** What every request has. */
    #order(path: string): Pick<OutgoingRequest, 'url' | 'peer' | 'headers'> {
        return {
            url: `${this.#url}${path}`,
            peer: 'image-server',
            headers: { 'accept-version': '~2', ...this.#signer?.headers() },
        };
    }
}
