import { Places } from '../../base/places.js';
import type { OutgoingHttp, OutgoingRequest } from '../../base/http-client.js';
import { openedFile, partHeaders } from '../file-parts.js';
import type { OpenedSourceFile, ResumePoint } from '../image-source.js';
import type { StreamsServer, StreamsServers } from '../simplestreams.js';
import { fileAddress } from './file-address.js';

/** Longest silence of a server, milliseconds (jobs-and-imports 10). */
const SILENCE_MS = 15_000;

/** Largest document, bytes: those of public servers have some MiB. */
const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;

/** Documents that are read at the same time: each takes many times its size when it is parsed. */
const DOCUMENTS_AT_ONCE = 4;

/** A server of LXD images over HTTP (jobs-and-imports 6). */
class HttpStreamsServer implements StreamsServer {
    readonly #http: OutgoingHttp;
    readonly #documents: Places;
    readonly #url: string;

    constructor(http: OutgoingHttp, documents: Places, url: string) {
        this.#http = http;
        this.#documents = documents;
        this.#url = url;
    }

    async document(path: string, signal: AbortSignal): Promise<unknown> {
        const client = await this.#http();
        const request = {
            ...this.#request(path, signal),
            maxBytes: MAX_DOCUMENT_BYTES,
            timeouts: { headersMs: SILENCE_MS, stallMs: SILENCE_MS },
        };
        const { body } = await this.#documents.run(() => client.json(request), signal);
        return body;
    }

    async openFile(
        path: string,
        resume: ResumePoint | undefined,
        signal: AbortSignal,
    ): Promise<OpenedSourceFile> {
        const client = await this.#http();
        const answer = await client.open({
            ...this.#request(path, signal),
            headers: partHeaders(resume),
            timeouts: { headersMs: SILENCE_MS, stallMs: 0 },
        });
        return openedFile(answer, resume);
    }

    #request(path: string, signal: AbortSignal): OutgoingRequest {
        return { ...fileAddress(this.#url, path), peer: 'web', redirectSupplier: 'operator', signal };
    }
}

/** Servers of LXD images that are asked over HTTP. */
export class HttpStreamsServers implements StreamsServers {
    readonly #http: OutgoingHttp;
    readonly #documents = new Places(DOCUMENTS_AT_ONCE);

    constructor(http: OutgoingHttp) {
        this.#http = http;
    }

    at(url: string): StreamsServer {
        return new HttpStreamsServer(this.#http, this.#documents, url);
    }
}
