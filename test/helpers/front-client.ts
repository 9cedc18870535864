import { once } from 'node:events';
import { connect, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const LIMIT_MS = 60_000;
/** Name in the certificates. hitch dies of a reload when there was no name in the one that it replaces. */
const NAME = 'localhost';

/** The version of HTTP that a client speaks. */
export type HttpVersion = 'HTTP/1.1' | 'h2';

/** What a request has beside its path. */
export interface FrontRequest {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Buffer | Readable;
}

/** An answer of which only the headers have been read. */
export interface FrontAnswer {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
    readonly body: Readable;
}

/** How to reach a front server. */
export interface FrontPlace {
    readonly port: number;
    /** PEM text of the certificates it may show. */
    readonly ca: string | string[];
    /** Address of this machine to come from. */
    readonly localAddress?: string;
}

/** A client of a front server: nothing is retried or hidden. */
export interface FrontClient {
    send(method: string, path: string, more?: FrontRequest): Promise<FrontAnswer>;
    close(): void;
}

/** Writes a body to the end, or as far as it is wanted. */
function write(body: FrontRequest['body'], to: Writable): void {
    if (body === undefined || Buffer.isBuffer(body)) {
        to.end(body);
    } else {
        // What goes wrong is told by the request.
        pipeline(body, to).catch(() => undefined);
    }
}

class Http1Client implements FrontClient {
    readonly #place: FrontPlace;
    readonly #agent: Agent;

    constructor(place: FrontPlace) {
        this.#place = place;
        const { ca, localAddress } = place;
        this.#agent = new Agent({
            keepAlive: true,
            ca,
            servername: NAME,
            ...(localAddress === undefined ? {} : { localAddress }),
        });
    }

    async send(method: string, path: string, { headers, body }: FrontRequest = {}): Promise<FrontAnswer> {
        const outgoing = request({
            host: '127.0.0.1',
            port: this.#place.port,
            agent: this.#agent,
            method,
            path,
            headers: { ...(Buffer.isBuffer(body) ? { 'content-length': body.length } : {}), ...headers },
        }).setTimeout(LIMIT_MS, () => outgoing.destroy(new Error(`no answer to ${method} ${path}`)));
        const answer = once(outgoing, 'response') as Promise<[IncomingMessage]>;
        write(body, outgoing);
        const [message] = await answer;
        return { status: message.statusCode ?? 0, headers: message.headers, body: message };
    }

    close(): void {
        this.#agent.destroy();
    }
}

class Http2Client implements FrontClient {
    readonly #place: FrontPlace;
    #session: ClientHttp2Session | undefined;

    constructor(place: FrontPlace) {
        this.#place = place;
    }

    async send(method: string, path: string, { headers, body }: FrontRequest = {}): Promise<FrontAnswer> {
        const stream = this.#open().request(
            { ':method': method, ':path': path, ...headers },
            { endStream: body === undefined },
        );
        stream.setTimeout(LIMIT_MS, () => stream.destroy(new Error(`no answer to ${method} ${path}`)));
        const closed = new AbortController();
        // A connection that is cut ends its streams without an error.
        stream.once('close', () => closed.abort(new Error('the stream was closed')));
        const { signal } = closed;
        const answer = once(stream, 'response', { signal }) as Promise<
            [IncomingHttpHeaders & { ':status'?: number }]
        >;
        if (body !== undefined) write(body, stream);
        const [received] = await answer;
        return { status: received[':status'] ?? 0, headers: received, body: stream };
    }

    close(): void {
        this.#session?.destroy();
    }

    /** The session, or a new one when the other side has said that it takes no further requests. */
    #open(): ClientHttp2Session {
        const { port, ...options } = this.#place;
        if (this.#session === undefined) {
            const session = connect(`https://127.0.0.1:${port}`, { ...options, servername: NAME });
            const drop = (): void => {
                if (this.#session === session) this.#session = undefined;
            };
            session.on('error', drop).on('close', drop).on('goaway', drop);
            this.#session = session;
        }
        return this.#session;
    }
}

/** A client that speaks one version of HTTP, over TLS. */
export function frontClient(version: HttpVersion, place: FrontPlace): FrontClient {
    return version === 'h2' ? new Http2Client(place) : new Http1Client(place);
}
