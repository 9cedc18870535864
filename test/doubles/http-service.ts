import { once } from 'node:events';
import {
    createServer,
    type IncomingHttpHeaders,
    type IncomingMessage,
    type Server,
    type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';

/**
 * What is wrong with a service:
 * - `unavailable`: it answers 503;
 * - `hang`: it takes requests and says nothing, `hang-body`: it stops in the middle of the body;
 * - `hang-up`: it cuts the connection instead of answering, `break-off`: in the middle of the body;
 * - `garbage`: the body is not what it says, `no-http`: nothing it says is HTTP.
 */
export type HttpFault =
    'none' | 'unavailable' | 'hang' | 'hang-body' | 'hang-up' | 'break-off' | 'garbage' | 'no-http';

/** A request as it came. */
export interface ServedRequest {
    readonly method: string;
    /** As sent: a path, or a whole URL where a proxy is asked. */
    readonly target: string;
    readonly path: string;
    readonly query: URLSearchParams;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
}

export type ServiceHandler = (request: ServedRequest, response: ServerResponse) => void;

/** How to start an {@link HttpService}. */
export interface HttpServiceOptions {
    /** PEM texts: the server speaks TLS. */
    readonly tls?: { readonly certificate: string; readonly key: string };
    /** Handles CONNECT, as a proxy does; absent: refused. */
    readonly onConnect?: (target: string, socket: Socket) => void;
}

const HALF = '[{"uuid":"';

/** Sends JSON. */
export function sendJson(
    response: ServerResponse,
    status: number,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
): void {
    const bytes = Buffer.from(JSON.stringify(body));
    response.writeHead(status, {
        'content-type': 'application/json',
        'content-length': bytes.length,
        ...headers,
    });
    response.end(bytes);
}

/** A real HTTP server on the loopback interface that can be stopped, started again and made to fail. */
export class HttpService {
    /** What came since the start, or since a test emptied it. */
    readonly requests: ServedRequest[] = [];
    /** What goes wrong with every request from now on. */
    fault: HttpFault = 'none';
    /** Connections taken so far, and open at the moment. */
    connections = 0;
    readonly sockets = new Set<Socket>();
    readonly #server: Server;
    readonly #handle: ServiceHandler;
    readonly #isTls: boolean;
    #port = 0;

    constructor(handle: ServiceHandler, options: HttpServiceOptions = {}) {
        const { tls } = options;
        this.#handle = handle;
        this.#isTls = tls !== undefined;
        this.#server =
            tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key });
        this.#server.on('connection', (socket: Socket) => {
            this.connections += 1;
            this.sockets.add(socket);
            socket.once('close', () => this.sockets.delete(socket));
            socket.on('error', () => undefined);
        });
        this.#server.on('request', (message, response) => {
            const url = new URL(message.url ?? '/', 'http://service');
            void text(message).then(
                (body) =>
                    this.#serve(
                        {
                            method: message.method ?? '',
                            target: message.url ?? '',
                            path: url.pathname,
                            query: url.searchParams,
                            headers: message.headers,
                            body,
                        },
                        response,
                    ),
                () => response.destroy(),
            );
        });
        if (options.onConnect !== undefined) {
            const { onConnect } = options;
            this.#server.on('connect', (message: IncomingMessage, socket: Socket) => {
                this.requests.push({
                    method: 'CONNECT',
                    target: message.url ?? '',
                    path: '',
                    query: new URLSearchParams(),
                    headers: message.headers,
                    body: '',
                });
                onConnect(message.url ?? '', socket);
            });
        }
    }

    /** Listens, after a stop on the same port again. */
    async start(): Promise<this> {
        this.#server.listen(this.#port, '127.0.0.1');
        await once(this.#server, 'listening');
        const address = this.#server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        this.#port = address.port;
        return this;
    }

    /** Cuts all connections and listens no more. */
    async stop(): Promise<void> {
        for (const socket of this.sockets) socket.destroy();
        if (this.#server.listening) {
            this.#server.close();
            await once(this.#server, 'close');
        }
    }

    get port(): number {
        return this.#port;
    }

    get url(): string {
        return `${this.#isTls ? 'https' : 'http'}://127.0.0.1:${this.#port}`;
    }

    #serve(request: ServedRequest, response: ServerResponse): void {
        this.requests.push(request);
        const partly = (): void => {
            response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
            response.write(HALF);
        };
        switch (this.fault) {
            case 'none':
                this.#handle(request, response);
                return;
            case 'unavailable':
                sendJson(response, 503, { code: 'ServiceUnavailable', message: 'try again later' });
                return;
            case 'hang':
                return;
            case 'hang-body':
                partly();
                return;
            case 'hang-up':
                response.socket?.destroy();
                return;
            case 'break-off':
                partly();
                response.socket?.end();
                return;
            case 'garbage':
                response.writeHead(200, { 'content-type': 'application/json' }).end(HALF);
                return;
            case 'no-http':
                response.socket?.end('220 mail.example.com ESMTP\r\n');
                return;
        }
    }
}
