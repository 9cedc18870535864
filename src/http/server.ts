import type { IncomingMessage, Server as NodeServer, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import type Logger from 'bunyan';
import { createServer as createRestifyServer, type Server as RestifyServer } from 'restify';
import type { ConfigSource } from '../base/config-types.js';
import { ApiError, serverIsShuttingDown } from '../base/errors.js';
import { clientErrorAnswer, writeRawError } from './client-error.js';
import { Connection } from './connection.js';
import { Dispatcher } from './dispatcher.js';
import { listenOn } from './listen.js';
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from './limits.js';
import { Lingering } from './lingering.js';
import type { RequestMetrics } from './metrics.js';
import type { ProxiedPeer } from './proxy-header.js';
import { requestId } from './request-id.js';
import type { Route } from './route.js';
import { Router } from './router.js';
import type { ServerExchange } from './server-exchange.js';
import { standardHeaders } from './standard-headers.js';

/** What a server is made of. */
export interface HttpServerOptions {
    readonly routes: readonly Route[];
    readonly log: Logger;
    readonly config: ConfigSource;
    readonly metrics?: RequestMetrics;
    /** While true every answer ends its connection (operations 1.4). */
    readonly isDraining: () => boolean;
    /** For `x-server-name`; default: the machine's. */
    readonly hostName?: string;
    readonly limits?: Partial<HttpLimits>;
}

/** A request that is being served. */
export interface RequestInFlight {
    readonly req_id: string;
    /** Name of the route; `null` when none matched. */
    readonly route: string | null;
    readonly uuid?: string;
    /** Bytes received and sent so far. */
    readonly bytes: number;
    /** ISO date. */
    readonly since: string;
    /** Whether it may change something. */
    readonly modifying: boolean;
}

/** Something else that accepts connections for a server. */
export interface HttpListener {
    /** Takes no further connections; those it has handed over stay. */
    stopAccepting(): void;
}

/** The HTTP side of the server. */
export interface HttpServer {
    /** Starts to listen; resolves to the port. @throws the system's error, e.g. `EADDRINUSE` */
    listen(port: number, address: string): Promise<number>;
    /** Has another listener stopped together with this server, which may not listen itself. */
    attach(listener: HttpListener): void;
    /**
     * Serves a connection that another listener has accepted.
     *
     * @param proxied whom its peer has named in the PROXY protocol
     */
    take(socket: Socket, proxied?: ProxiedPeer): void;
    /** Takes no further connections; those there are stay. */
    stopAccepting(): void;
    /** Closes connections on which nothing is going on. */
    closeIdleConnections(): void;
    inFlight(): readonly RequestInFlight[];
    /** Ends the streams of lines that are open, and all that follow, with a line that says so (operations 1.4). */
    endStreams(): void;
    /** Tells all requests to stop, gives them a second for a last answer, then cuts all connections. */
    abortAll(): void;
    /** Stops accepting; resolves when all requests and connections have ended. Answered clients may send for `limitMs`. */
    close(limitMs?: number): Promise<void>;
}

/** Properties Node has and its types lack. */
interface NodeServerSettings {
    requireHostHeader: boolean;
    connectionsCheckingInterval: number;
}

const READING_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

function describe(exchange: ServerExchange): RequestInFlight {
    const uuid = exchange.params['uuid'];
    return {
        req_id: exchange.requestId,
        route: exchange.routing.route?.name ?? null,
        ...(uuid === undefined ? {} : { uuid }),
        bytes: exchange.bytes,
        since: new Date(exchange.since).toISOString(),
        modifying: !exchange.onlyTells && !READING_METHODS.has(exchange.method),
    };
}

/**
 * restify owns the Node server and the life of requests; a single `pre` handler takes every request
 * to the dispatcher, whose {@link Router} reads the route table. restify's own router, body parsers,
 * formatters and error answers are not used: their rules are not those of http-api 1.1 and 1.3.
 */
class RestifyHttpServer implements HttpServer {
    readonly #options: HttpServerOptions;
    readonly #limits: HttpLimits;
    readonly #hostName: string;
    readonly #restify: RestifyServer;
    readonly #node: NodeServer;
    readonly #dispatcher: Dispatcher;
    readonly #lingering: Lingering;
    readonly #connections = new Map<Socket, Connection>();
    readonly #proxied = new WeakMap<Socket, ProxiedPeer>();
    readonly #active = new Set<ServerExchange>();
    readonly #awaitingContinue = new WeakSet<IncomingMessage>();
    readonly #misexpecting = new WeakSet<IncomingMessage>();
    readonly #listeners: HttpListener[] = [];
    #closing = false;
    #whenQuiet: (() => void)[] = [];

    constructor(options: HttpServerOptions) {
        this.#options = options;
        this.#limits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
        this.#lingering = new Lingering(this.#limits);
        this.#hostName = options.hostName ?? hostname();
        this.#dispatcher = new Dispatcher({
            router: new Router(options.routes),
            log: options.log,
            config: options.config,
            metrics: options.metrics,
            limits: this.#limits,
            hostName: this.#hostName,
            isClosing: () => this.#closing || options.isDraining(),
        });
        // An empty name keeps restify from setting `Server`, whose value may change while we run.
        this.#restify = createRestifyServer({ name: '', log: options.log });
        this.#node = this.#restify.server;
        this.#setLimits();
        this.#listenToNode();
        // At once: the next bytes may be no request, and whoever judges them must know of this one.
        this.#node.prependListener('request', (request) => {
            this.#connections.get(request.socket)?.arrive(request);
        });
        this.#restify.pre((request, response, next) => {
            void this.#serve(request, response as unknown as ServerResponse).then((served) => {
                // For a request that is not looked at restify would make up an answer.
                if (served) {
                    next(false);
                }
            });
        });
    }

    async listen(port: number, address: string): Promise<number> {
        // restify repeats errors that come later, which are logged there.
        return listenOn(this.#node, port, address, () => undefined);
    }

    attach(listener: HttpListener): void {
        this.#listeners.push(listener);
        if (!this.#node.listening) {
            // What makes Node begin to watch how long connections take, which it does for itself only.
            this.#node.emit('listening');
        }
    }

    take(socket: Socket, proxied?: ProxiedPeer): void {
        if (proxied !== undefined) {
            this.#proxied.set(socket, proxied);
        }
        this.#node.emit('connection', socket);
    }

    stopAccepting(): void {
        this.#listeners.forEach((listener) => listener.stopAccepting());
        if (this.#node.listening) {
            this.#node.close();
        }
    }

    closeIdleConnections(): void {
        this.#node.closeIdleConnections();
        // Node does not count connections as idle that never brought a request.
        this.#closeIdle((connection) => connection.unused);
    }

    inFlight(): readonly RequestInFlight[] {
        return [...this.#active].map(describe);
    }

    endStreams(): void {
        this.#dispatcher.endStreams();
    }

    abortAll(): void {
        this.endStreams();
        const reason = serverIsShuttingDown();
        this.#active.forEach((exchange) => exchange.abort(reason));
        setTimeout(() => {
            for (const socket of this.#connections.keys()) {
                socket.destroy();
            }
        }, this.#limits.abortMs);
    }

    async close(limitMs = Infinity): Promise<void> {
        this.#closing = true;
        const closed = this.#node.listening
            ? new Promise<void>((resolve) => this.#node.once('close', resolve))
            : Promise.resolve();
        this.stopAccepting();
        this.#lingering.hurry(limitMs);
        // A request of which only a part has come will not be served any more.
        this.#closeIdle(() => true);
        await closed;
        while (this.#active.size > 0 || this.#connections.size > 0) {
            await new Promise<void>((resolve) => this.#whenQuiet.push(resolve));
        }
    }

    #closeIdle(condition: (connection: Connection) => boolean): void {
        for (const connection of this.#connections.values()) {
            if (connection.idle && condition(connection)) {
                connection.closeIdle();
            }
        }
    }

    #setLimits(): void {
        const node = this.#node;
        node.headersTimeout = this.#limits.headersMs;
        node.keepAliveTimeout = this.#limits.keepAliveMs;
        node.requestTimeout = 0;
        node.timeout = this.#limits.inactivityMs;
        const settings = node as unknown as NodeServerSettings;
        settings.connectionsCheckingInterval = this.#limits.headersCheckMs;
        // Node's own answer to a missing Host lacks our headers; the dispatcher gives one that has them.
        settings.requireHostHeader = false;
    }

    #listenToNode(): void {
        const node = this.#node;
        // restify passes the event on to nobody, and while it does, Node hands the connection of a
        // request such as `Upgrade: h2c` over to it; without the listener the request is served.
        node.removeAllListeners('upgrade');
        node.on('connection', (socket) => this.#connected(socket));
        node.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
            this.#clientError(error, socket),
        );
        node.on('connect', (request: IncomingMessage, socket: Socket) => this.#tunnel(request, socket));
        node.on('timeout', (socket: Socket) => this.#silent(socket));
        this.#restify.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
            this.#awaitingContinue.add(request);
            node.emit('request', request, response);
        });
        node.on('checkExpectation', (request, response) => {
            this.#misexpecting.add(request);
            node.emit('request', request, response);
        });
        // restify repeats the listener's errors; those of `listen` are for its caller.
        this.#restify.on('error', (error: Error) =>
            this.#options.log.error({ err: error }, 'listener failed'),
        );
    }

    #connected(socket: Socket): void {
        const proxied = this.#proxied.get(socket);
        this.#connections.set(socket, new Connection(socket, this.#limits, this.#lingering, proxied));
        socket.on('error', (error) => this.#options.log.debug({ err: error }, 'connection failed'));
        socket.once('close', () => {
            this.#connections.delete(socket);
            this.#quieter();
        });
    }

    /** Serves a request when its turn comes; false when it never does. Never rejects. */
    async #serve(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
        const receivedAt = performance.now();
        // Writing behind the end of a connection is no news.
        response.on('error', () => undefined);
        const connection = this.#connections.get(request.socket);
        if (connection === undefined || !(await connection.enter())) {
            return false;
        }
        try {
            await this.#serveInTurn(request, response, connection, receivedAt);
        } catch (error) {
            this.#options.log.error({ err: error }, 'request could not be served');
            request.socket.destroy();
        } finally {
            this.#leave(connection);
        }
        return true;
    }

    async #serveInTurn(
        request: IncomingMessage,
        response: ServerResponse,
        connection: Connection,
        receivedAt: number,
    ): Promise<void> {
        const { proxied } = connection;
        const expectsContinue = this.#awaitingContinue.has(request);
        const exchange = this.#dispatcher.open({ request, response, expectsContinue, receivedAt, proxied });
        connection.current = exchange;
        this.#active.add(exchange);
        try {
            const refusal = this.#misexpecting.has(request)
                ? new ApiError('ExpectationFailedError', 'the expectation cannot be met')
                : undefined;
            await this.#dispatcher.serve(exchange, connection, refusal);
        } finally {
            this.#active.delete(exchange);
        }
    }

    #leave(connection: Connection): void {
        connection.leave();
        // Also when its last answer was on its way before anybody thought of closing.
        if (connection.idle && (connection.broken || this.#closing)) {
            connection.end();
        }
        this.#quieter();
    }

    #quieter(): void {
        const waiting = this.#whenQuiet;
        this.#whenQuiet = [];
        waiting.forEach((wake) => wake());
    }

    /** A connection was silent for long: cut, unless it is us the client waits for. */
    #silent(socket: Socket): void {
        const current = this.#connections.get(socket)?.current;
        const waitsForUs = current !== undefined && current.request.complete && !current.response.headersSent;
        if (!waitsForUs) {
            socket.destroy();
        }
    }

    /** Bytes came that are no request. An answer under way, or still to be given, is not spoiled by it. */
    #clientError(error: NodeJS.ErrnoException, socket: Socket): void {
        const connection = this.#connections.get(socket);
        this.#options.log.debug({ err: error }, 'connection does not speak HTTP');
        if (connection?.lingers === true) {
            return;
        }
        if (connection === undefined || !socket.writable || error.code === 'ECONNRESET') {
            socket.destroy();
            return;
        }
        const { current, latest, pending } = connection;
        if (pending > 0 && latest?.complete === true) {
            connection.broken = true;
        } else if (pending > 1 || current?.response.headersSent === true) {
            socket.destroy();
        } else {
            // Who has stopped sending, or was too slow, is not waited for.
            connection.broken = !socket.readableEnded && error.code !== 'ERR_HTTP_REQUEST_TIMEOUT';
            // With a request pending, it is its body that is malformed.
            const id = pending === 0 ? undefined : (current?.requestId ?? requestId(latest?.headers ?? {}));
            this.#answerRaw(connection, clientErrorAnswer(error), id);
        }
    }

    #tunnel(request: IncomingMessage, socket: Socket): void {
        const connection = this.#connections.get(socket);
        const error = new ApiError('MethodNotAllowedError', 'CONNECT is not allowed');
        if (connection === undefined) {
            socket.destroy();
        } else {
            connection.broken = true;
            this.#answerRaw(connection, error, requestId(request.headers));
        }
    }

    /** Answers whatever the connection is waiting for, and ends it. */
    #answerRaw(connection: Connection, error: ApiError, id: string | undefined): void {
        const facts = {
            serverName: this.#options.config.current.serverName,
            hostName: this.#hostName,
            requestId: id ?? requestId({}),
            receivedAt: performance.now(),
            close: true,
        };
        writeRawError(connection.socket, error, standardHeaders(facts));
        connection.ended = true;
        connection.end();
        if (connection.lingers) {
            connection.current?.cutOff(error);
        }
    }
}

/** Makes a server for a route table; nothing listens yet. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
    return new RestifyHttpServer(options);
}
