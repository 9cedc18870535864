import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type Logger from 'bunyan';
import { readRequestBody } from './body.js';
import type { Exchange, RequestBody } from './exchange.js';
import type { ProxiedPeer } from './proxy-header.js';
import { QueryParameters } from './query-parameters.js';
import { requestId } from './request-id.js';
import type { Routing } from './router.js';
import { UploadStream } from './upload-stream.js';

/** Path and query string of a request target; absolute targets lose scheme and host (RFC 9112 3.2.2). */
export function splitTarget(target: string): { readonly path: string; readonly search: string } {
    const local = /^https?:\/\/[^/?]*/i.exec(target)?.[0].length ?? 0;
    const relative = local === 0 ? target : target.slice(local) || '/';
    const mark = relative.indexOf('?');
    return mark < 0
        ? { path: relative, search: '' }
        : { path: relative.slice(0, mark), search: relative.slice(mark + 1) };
}

/** What an {@link ServerExchange} is made of. */
export interface ExchangeParts {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly routing: Routing;
    readonly path: string;
    readonly search: string;
    readonly log: Logger;
    /** Whether the client waits for `100 Continue`. */
    readonly expectsContinue: boolean;
    /** When the request came, as of `performance.now()`. */
    readonly receivedAt: number;
    readonly proxied: ProxiedPeer | undefined;
}

/** A request being served: what handlers see as {@link Exchange}, and what the server needs beside. */
export class ServerExchange implements Exchange {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly routing: Routing;
    readonly path: string;
    readonly requestId: string;
    readonly receivedAt: number;
    /** When the request came, milliseconds since the epoch. */
    readonly since = Date.now();
    /** The peer, noted while it is connected. */
    readonly remoteAddress: string | undefined;
    readonly remotePort: number | undefined;
    readonly proxied: ProxiedPeer | undefined;
    /** Whether what the request may change is done, and its answer only tells of what happens elsewhere. */
    onlyTells = false;
    readonly #search: string;
    readonly #parentLog: Logger;
    readonly #abort = new AbortController();
    readonly #bytesBefore: number;
    #awaitsContinue: boolean;
    #log: Logger | undefined;
    #query: QueryParameters | undefined;
    #body: Promise<RequestBody> | undefined;
    #bodyValue: RequestBody = { present: false };
    #upload: UploadStream | undefined;
    #cutOff: Error | undefined;
    #user: string | undefined;

    constructor(parts: ExchangeParts) {
        this.request = parts.request;
        this.response = parts.response;
        this.routing = parts.routing;
        this.path = parts.path;
        this.requestId = requestId(parts.request.headers);
        this.receivedAt = parts.receivedAt;
        this.remoteAddress = parts.request.socket.remoteAddress;
        this.remotePort = parts.request.socket.remotePort;
        this.proxied = parts.proxied;
        this.#search = parts.search;
        this.#parentLog = parts.log;
        this.#awaitsContinue = parts.expectsContinue;
        this.#bytesBefore = this.#socketBytes();
    }

    get routeName(): string {
        return this.routing.route?.name ?? '';
    }

    get method(): string {
        return this.request.method ?? '';
    }

    get target(): string {
        return this.request.url ?? '';
    }

    get params(): Readonly<Record<string, string>> {
        return this.routing.params;
    }

    get query(): QueryParameters {
        this.#query ??= new QueryParameters(this.#search);
        return this.#query;
    }

    get headers(): IncomingHttpHeaders {
        return this.request.headers;
    }

    get httpVersion(): string {
        return this.request.httpVersion;
    }

    get log(): Logger {
        this.#log ??= this.#parentLog.child({ req_id: this.requestId }, true);
        return this.#log;
    }

    get encrypted(): boolean {
        return 'encrypted' in this.request.socket;
    }

    get signal(): AbortSignal {
        return this.#abort.signal;
    }

    get version2(): boolean {
        return this.routing.version2;
    }

    get asksProvenance(): boolean {
        return this.routing.asksProvenance;
    }

    /** The authenticated user, once the chain has found one. */
    get user(): string | undefined {
        return this.#user;
    }

    /** The body for the audit record, if it was read and parsed. */
    get parsedBody(): RequestBody {
        return this.#bodyValue;
    }

    /** Whether the client still waits for `100 Continue`, so has sent nothing of the body. */
    get awaitsContinue(): boolean {
        return this.#awaitsContinue;
    }

    /** Bytes received and sent for this request so far. */
    get bytes(): number {
        return this.#socketBytes() - this.#bytesBefore;
    }

    readBody(): Promise<RequestBody> {
        this.#body ??= this.#readBody();
        return this.#body;
    }

    startUpload(): Readable {
        if (this.#upload === undefined) {
            this.#sendContinue();
            this.#upload = new UploadStream(this.request);
            if (this.#cutOff !== undefined) {
                this.#upload.cutOff(this.#cutOff);
            }
        }
        return this.#upload;
    }

    noteUser(user: string): void {
        this.#user = user;
    }

    /** Lets go of the body: whoever still reads an upload gets no more of it. */
    releaseUpload(): void {
        this.#upload?.destroy();
    }

    /** Tells everybody who works for this request to stop. */
    abort(reason: Error): void {
        this.#abort.abort(reason);
    }

    /** Tells them, too, that nothing more of the body will come. */
    cutOff(reason: Error): void {
        this.abort(reason);
        this.#cutOff = reason;
        this.#upload?.cutOff(reason);
    }

    async #readBody(): Promise<RequestBody> {
        this.#bodyValue = await readRequestBody(this.request, this.signal, () => {
            this.#sendContinue();
        });
        return this.#bodyValue;
    }

    #sendContinue(): void {
        if (this.#awaitsContinue) {
            this.#awaitsContinue = false;
            this.response.writeContinue();
        }
    }

    #socketBytes(): number {
        const { socket } = this.request;
        return socket.bytesRead + socket.bytesWritten;
    }
}
