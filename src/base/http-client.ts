import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { EgressGuard, systemLookup, type HostLookup } from './egress/egress-guard.js';
import { readBytes, readJson, readProblem } from './http-body.js';
import { Connections } from './http-connections.js';
import { ContentSender, type RequestContent } from './http-content.js';
import { isLost, isUnsent, OutgoingError, toOutgoingError } from './http-errors.js';
import { PEERS, type OutgoingSettingsSource, type PeerKind } from './http-peers.js';
import { discard, redirectTarget } from './http-redirects.js';
import type { AddressSupplier } from './http-supplier.js';
import { authorizationOf, loggableUrl, parseHttpUrl } from './http-urls.js';
import { within } from './within.js';

/**
 * How long to wait for what, milliseconds (README table D). 0: without limit, for all but connections;
 * a server that dies is then noticed by its connection, which is probed when idle for a minute.
 */
export interface OutgoingTimeouts {
    /** For a connection. */
    readonly connectMs: number;
    /** For the headers of the answer, once the request is sent. */
    readonly headersMs: number;
    /**
     * For more of the body, while we are ready to take it; and for the other side to take more of what is sent
     * to it, while that is `content`.
     */
    readonly stallMs: number;
    /** For `json` as a whole, and for `open` up to the headers: retries, redirects and queueing included. */
    readonly totalMs: number;
}

/** A request to another server. */
export interface OutgoingRequest {
    /** http or https; user info becomes Basic authorization. */
    readonly url: string;
    readonly peer: PeerKind;
    /** Where the URL comes from; default: the configuration. */
    readonly supplier?: AddressSupplier;
    /** Who supplies what redirects to another server lead to; default: as `supplier`. */
    readonly redirectSupplier?: AddressSupplier;
    /** Redirects to plain http are not followed. */
    readonly httpsOnly?: boolean;
    /** Added to the query string of the URL. */
    readonly query?: Readonly<Record<string, string>>;
    readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
    readonly headers?: Readonly<Record<string, string>>;
    /** Sent as JSON. */
    readonly body?: unknown;
    /** Sent as it is, instead of `body`. */
    readonly content?: RequestContent;
    /** Whether `content` is also sent where a redirect with status 307 or 308 leads. */
    readonly redirectsContent?: boolean;
    /** Id of the request that is being served; absent: none is sent. */
    readonly requestId?: string;
    /** Ends the request, and the body of an answer that is still being read. */
    readonly signal: AbortSignal;
    readonly timeouts?: Partial<OutgoingTimeouts>;
    /** Waits before a connection is tried again, milliseconds; default: those of the client. */
    readonly retryDelaysMs?: readonly number[];
}

/** As {@link OutgoingRequest}, for an answer that is read as a whole. */
export interface JsonRequest extends OutgoingRequest {
    /** Largest body, bytes; default 8 MiB. */
    readonly maxBytes?: number;
}

/** Headers of an answer, names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A 2xx answer that has been read. */
export interface JsonAnswer {
    readonly status: number;
    readonly headers: AnswerHeaders;
    /** The parsed body; `undefined` with status 204. Nothing is known of its form. */
    readonly body: unknown;
}

/** As {@link JsonAnswer}, for bytes of any kind. */
export interface BytesAnswer extends Omit<JsonAnswer, 'body'> {
    readonly body: Buffer;
    /** Where the answer came from, redirects followed; without user info. */
    readonly url: string;
}

/** A 2xx answer whose body is still to be read: to its end, or it must be destroyed. */
export interface OpenAnswer {
    readonly status: number;
    readonly headers: AnswerHeaders;
    readonly body: Readable;
    /** Where the answer came from, redirects followed; without user info. */
    readonly url: string;
    /** Names an error of the body as requests name theirs. */
    failure(error: unknown): OutgoingError;
}

/** The client of the process, loaded when it is needed first. */
export type OutgoingHttp = () => Promise<HttpClient>;

/** What an {@link HttpClient} is made from. */
export interface HttpClientOptions {
    /** All of it may change. */
    readonly config: OutgoingSettingsSource;
    /** Waits before a connection is tried again, milliseconds; default 500 and 1000. */
    readonly retryDelaysMs?: readonly number[];
    readonly timeouts?: Partial<OutgoingTimeouts>;
    /** Default: the environment variable `NO_PROXY` or `no_proxy`. */
    readonly noProxy?: string;
    /** Whether plain connections begin with a PROXY header; default: no. */
    readonly proxyHeader?: boolean;
    /** Finds the addresses of names that are to be checked; default: as the system does. */
    readonly lookup?: HostLookup;
}

const DEFAULT_TIMEOUTS: OutgoingTimeouts = {
    connectMs: 10_000,
    headersMs: 30_000,
    stallMs: 60_000,
    totalMs: 120_000,
};
const RETRY_DELAYS_MS = [500, 1000];
const MAX_JSON_BYTES = 8 * 1024 * 1024;
const MAX_REDIRECTS = 5;

/** One request on its way: redirects change the URL and perhaps the headers. */
interface Hop {
    readonly url: URL;
    readonly supplier: AddressSupplier;
    readonly headers: Readonly<Record<string, string>>;
}

function contentHeaders({ body, content }: OutgoingRequest): Readonly<Record<string, string>> {
    if (content !== undefined) {
        return { 'content-type': content.type, 'content-length': String(content.length) };
    }
    return body === undefined ? {} : { 'content-type': 'application/json' };
}

/** Whether a redirect with this status may be followed. */
function mayFollow({ method = 'GET', redirectsContent }: OutgoingRequest, status: number): boolean {
    return isRead(method) || (redirectsContent === true && (status === 307 || status === 308));
}

function isRead(method: string): boolean {
    return method === 'GET' || method === 'HEAD';
}

function isSuccess(status: number): boolean {
    return status >= 200 && status <= 299;
}

function firstHop(request: OutgoingRequest, userAgent: string): Hop {
    const url = parseHttpUrl(request.url);
    if (url === undefined) {
        throw new OutgoingError('malformed', 'no http or https URL');
    }
    for (const [name, value] of Object.entries(request.query ?? {})) {
        url.searchParams.append(name, value);
    }
    const { requestId } = request;
    const idHeaders = requestId === undefined ? [] : PEERS[request.peer].requestIdHeaders;
    return {
        url,
        supplier: request.supplier ?? 'config',
        headers: {
            'user-agent': userAgent,
            ...contentHeaders(request),
            ...Object.fromEntries(idHeaders.map((name) => [name, requestId ?? ''])),
            ...authorizationOf(url, 'authorization'),
            ...request.headers,
        },
    };
}

function withoutAuthorization(headers: Hop['headers']): Hop['headers'] {
    return Object.fromEntries(
        Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'),
    );
}

/** Follows a redirect to another server, which learns nothing of who asks. */
function elsewhere(request: OutgoingRequest, hop: Hop, url: URL): Hop {
    const supplier = request.redirectSupplier ?? hop.supplier;
    return { url, supplier, headers: withoutAuthorization(hop.headers) };
}

async function sendContent(
    dispatcher: Dispatcher,
    asked: Dispatcher.RequestOptions & { readonly signal: AbortSignal },
    sender: ContentSender,
): Promise<Dispatcher.ResponseData> {
    try {
        const signal = AbortSignal.any([asked.signal, sender.signal]);
        const answer = await dispatcher.request({ ...asked, body: sender.body, signal });
        // Not before: an answer that comes early is lost when what it answers breaks off.
        answer.body.once('close', () => sender.close());
        if (isSuccess(answer.statusCode) && !sender.isSent) {
            discard(answer.body);
            throw new OutgoingError('malformed', 'a success was told before everything was sent');
        }
        return answer;
    } catch (error) {
        sender.close();
        throw sender.failure ?? error;
    }
}

/**
 * Requests to other servers (jobs-and-imports 0.5), one client for the whole process: everything it
 * waits for has an end, its connections are bounded and kept for the next request, and whatever goes
 * wrong is an {@link OutgoingError}.
 *
 * A connection that cannot be made is tried twice more; so is one that is lost before the answer to
 * a GET or HEAD, as kept connections can be. GET and HEAD follow up to five redirects; content does so
 * only where the caller says so, and the status that it is to be sent again.
 */
export class HttpClient {
    readonly #config: OutgoingSettingsSource;
    readonly #connections: Connections;
    readonly #guard: EgressGuard;
    readonly #retryDelaysMs: readonly number[];
    readonly #timeouts: OutgoingTimeouts;

    constructor(options: HttpClientOptions) {
        const { config } = options;
        const noProxy = options.noProxy ?? process.env['NO_PROXY'] ?? process.env['no_proxy'] ?? '';
        this.#config = config;
        this.#connections = new Connections({ config, noProxy, proxyHeader: options.proxyHeader === true });
        this.#guard = new EgressGuard(config, options.lookup ?? systemLookup);
        this.#retryDelaysMs = options.retryDelaysMs ?? RETRY_DELAYS_MS;
        this.#timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    }

    /** Asks for JSON and reads it. @throws OutgoingError */
    async json(request: JsonRequest): Promise<JsonAnswer> {
        return this.#inTime(request, async (signal) => {
            const accepting = { ...request, headers: { accept: 'application/json', ...request.headers } };
            const { status, headers, body, url } = await this.#ask(accepting, signal);
            const limit = request.maxBytes ?? MAX_JSON_BYTES;
            const parsed = status === 204 ? void body.resume() : await readJson(body, limit, url);
            return { status, headers, body: parsed };
        });
    }

    /** Asks for something of a modest size and reads it. @throws OutgoingError */
    async bytes(request: JsonRequest): Promise<BytesAnswer> {
        return this.#inTime(request, async (signal) => {
            const { status, headers, body, url } = await this.#ask(request, signal);
            const bytes = await readBytes(body, request.maxBytes ?? MAX_JSON_BYTES, url);
            return { status, headers, body: bytes, url };
        });
    }

    /** Asks for something whose body the caller reads. @throws OutgoingError */
    async open(request: OutgoingRequest): Promise<OpenAnswer> {
        return this.#inTime(request, (signal) => this.#ask(request, signal));
    }

    /** Cuts all connections: requests under way fail, later ones too. */
    async close(): Promise<void> {
        await this.#connections.close();
    }

    /** Runs a request within its total time, and names its failures. */
    async #inTime<T>(request: OutgoingRequest, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
        const { totalMs } = { ...this.#timeouts, ...request.timeouts };
        const deadline = new AbortController();
        const timer = totalMs === 0 ? undefined : setTimeout(() => deadline.abort(), totalMs);
        try {
            request.signal.throwIfAborted();
            return await run(AbortSignal.any([request.signal, deadline.signal]));
        } catch (error) {
            if (request.signal.aborted) {
                throw new OutgoingError('aborted', 'the request was given up', { cause: error });
            }
            if (deadline.signal.aborted) {
                throw new OutgoingError('timeout', `no complete answer in ${totalMs} ms`, { cause: error });
            }
            throw toOutgoingError(error, 'outgoing request');
        } finally {
            clearTimeout(timer);
        }
    }

    /** Sends a request and follows redirects to a 2xx answer. */
    async #ask(request: OutgoingRequest, signal: AbortSignal): Promise<OpenAnswer> {
        let hop = firstHop(request, this.#config.current.serverName);
        for (let redirects = 0; ; redirects += 1) {
            const { statusCode: status, headers, body } = await this.#send(request, hop, signal);
            const what = `${request.method ?? 'GET'} ${loggableUrl(hop.url)}`;
            const next = mayFollow(request, status)
                ? redirectTarget(status, headers, hop.url, request.httpsOnly)
                : undefined;
            if (next === undefined) {
                if (!isSuccess(status)) {
                    const problem = await readProblem(body);
                    const facts = { status, headers, body: problem };
                    throw new OutgoingError('status', `${what}: status ${status}`, facts);
                }
                const failure = (error: unknown): OutgoingError => toOutgoingError(error, what);
                return { status, headers, body, url: loggableUrl(hop.url), failure };
            }
            discard(body);
            if (redirects >= MAX_REDIRECTS) {
                throw new OutgoingError('malformed', `${what}: more than ${MAX_REDIRECTS} redirects`, {
                    status,
                });
            }
            hop = next.origin === hop.url.origin ? { ...hop, url: next } : elsewhere(request, hop, next);
        }
    }

    /** Sends a request to one URL, again while it cannot be sent. */
    async #send(request: OutgoingRequest, hop: Hop, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
        const { method = 'GET', retryDelaysMs = this.#retryDelaysMs } = request;
        for (let tries = 0; ; tries += 1) {
            try {
                return await this.#sendOnce(request, hop, signal);
            } catch (error) {
                const pause = retryDelaysMs[tries];
                const mayRepeat = isUnsent(error) || (isLost(error) && isRead(method));
                if (pause === undefined || !mayRepeat || signal.aborted) {
                    throw toOutgoingError(error, `${method} ${loggableUrl(hop.url)}`);
                }
                await delay(pause, undefined, { signal });
            }
        }
    }

    async #sendOnce(
        request: OutgoingRequest,
        hop: Hop,
        signal: AbortSignal,
    ): Promise<Dispatcher.ResponseData> {
        const { method = 'GET', content } = request;
        const { connectMs, headersMs, stallMs } = { ...this.#timeouts, ...request.timeouts };
        const checked = this.#guard.check(hop.url, hop.supplier, signal);
        const addresses = await within(connectMs, checked);
        const way = this.#connections.to(hop.url, request.peer, connectMs, addresses);
        const asked = {
            origin: hop.url.origin,
            path: way.target,
            method,
            headers: { ...hop.headers, ...way.headers },
            headersTimeout: headersMs,
            bodyTimeout: stallMs,
            signal,
        };
        if (content === undefined) {
            const body = request.body === undefined ? {} : { body: JSON.stringify(request.body) };
            return way.dispatcher.request({ ...asked, ...body });
        }
        return sendContent(way.dispatcher, asked, new ContentSender(content, stallMs));
    }
}
