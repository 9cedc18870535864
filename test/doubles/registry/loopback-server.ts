import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Test } from 'tap';
import { CallLog, type WaitOptions } from '../call-log.js';
import { CallRules, pass, type Hold } from '../call-rules.js';
import { answer, closed, type RegistryCall } from './call.js';
import type {
    RegistryCallKind,
    RegistryCallLimits,
    RegistryCallMatch,
    RegistryFault,
    RegistryRequestLog,
} from './faults.js';
import { RegistryError } from './registry-error.js';

/** PEM texts: the server speaks TLS. */
export interface Tls {
    readonly certificate: string;
    readonly key: string;
}

const CODES: Readonly<Record<number, readonly [code: string, message: string]>> = {
    401: ['UNAUTHORIZED', 'authentication required'],
    403: ['DENIED', 'requested access to the resource is denied'],
    404: ['NAME_UNKNOWN', 'repository name not known to registry'],
    429: ['TOOMANYREQUESTS', 'too many requests'],
    503: ['UNAVAILABLE', 'service unavailable'],
};

/** A server on the loopback interface that can be told to misbehave, and keeps what it was asked. */
export abstract class LoopbackServer {
    /** Connections taken so far. */
    connections = 0;
    readonly #rules = new CallRules<RegistryCallKind, RegistryFault>();
    readonly #log = new CallLog<RegistryCallKind, RegistryRequestLog>();
    readonly #sockets = new Set<Socket>();
    readonly #server: Server;
    readonly #scheme: string;
    #port = 0;

    constructor(tls?: Tls) {
        this.#scheme = tls === undefined ? 'http' : 'https';
        this.#server =
            tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key });
        this.#server.on('connection', (socket: Socket) => {
            this.connections += 1;
            this.#sockets.add(socket);
            socket.once('close', () => this.#sockets.delete(socket));
            socket.on('error', () => undefined);
        });
        this.#server.on('request', (request, response) => {
            request.on('error', () => undefined);
            response.on('error', () => undefined);
            void this.#serve(request, response);
        });
    }

    /** What a request is. */
    protected abstract kindOf(method: string, path: string): RegistryCallKind;

    /** Answers a request. @throws RegistryError, CutOff */
    protected abstract handle(call: RegistryCall): Promise<void>;

    /** Listens until the test ends, again after `stop` on the same port. */
    async start(t?: Test): Promise<this> {
        this.#server.listen(this.#port, '127.0.0.1');
        await once(this.#server, 'listening');
        const address = this.#server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        this.#port = address.port;
        t?.teardown(() => this.stop());
        return this;
    }

    /** Ends all faults, cuts all connections and listens no more; what it has stays. */
    async stop(): Promise<void> {
        this.#rules.clear();
        for (const socket of this.#sockets) socket.destroy();
        if (this.#server.listening) {
            this.#server.close();
            await once(this.#server, 'close');
        }
    }

    get port(): number {
        return this.#port;
    }

    /** As names of images have it. */
    get host(): string {
        return `127.0.0.1:${this.#port}`;
    }

    get url(): string {
        return `${this.#scheme}://${this.host}`;
    }

    /** Does this wrong with calls from now on; what is returned ends it. */
    inject(fault: RegistryFault, limits: RegistryCallLimits = {}): () => void {
        return this.#rules.inject(fault, limits);
    }

    /** Holds calls, before anything is done, until what is returned lets them go on. */
    hold(limits: RegistryCallLimits): Hold {
        return this.#rules.hold(limits, 'before');
    }

    /** Ends all faults and lets all held calls go on. */
    clearFaults(): void {
        this.#rules.clear();
    }

    /** The latest requests, in the order they came in. */
    requests(match: RegistryCallMatch = {}): readonly RegistryRequestLog[] {
        return this.#log.find(match);
    }

    clearRequests(): void {
        this.#log.clear();
    }

    /** Resolves when there has been such a request since the log was cleared. */
    waitFor(match: RegistryCallMatch, options: WaitOptions = {}): Promise<RegistryRequestLog> {
        return this.#log.waitFor(match, options);
    }

    async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
        // A request that breaks off loses it.
        const { socket } = request;
        const url = new URL(request.url ?? '/', this.url);
        const path = decodeURIComponent(url.pathname);
        const method = request.method ?? '';
        const logged: RegistryRequestLog = {
            method,
            path,
            kind: this.kindOf(method, path),
            query: Object.fromEntries(url.searchParams),
            headers: request.headers,
            bytesIn: 0,
            bytesOut: 0,
            done: false,
        };
        const { fault, before } = this.#rules.decide(logged);
        this.#log.add(logged);
        const call: RegistryCall = { request, response, url, fault, logged };
        try {
            if (fault.hang === true) await closed(call);
            else {
                await pass(before);
                await this.#answer(call);
            }
        } catch {
            // Cut off by a fault, or gone by itself.
            socket.destroy();
        } finally {
            logged.done = true;
            this.#log.changed();
        }
    }

    async #answer(call: RegistryCall): Promise<void> {
        const { refuse, redirect } = call.fault;
        try {
            if (refuse !== undefined) {
                const [code = 'UNKNOWN', message = 'unknown error'] = CODES[refuse.status] ?? [];
                const error = new RegistryError(
                    refuse.status,
                    refuse.code ?? code,
                    refuse.message ?? message,
                    refuse.headers === undefined ? {} : { headers: refuse.headers },
                );
                const type = { 'content-type': 'application/json' };
                answer(call, error.status, { ...type, ...error.headers }, refuse.body ?? error.text);
            } else if (redirect !== undefined) {
                answer(call, redirect.status, { location: redirect.to });
            } else {
                await this.handle(call);
            }
        } catch (error) {
            if (!(error instanceof RegistryError) || call.response.headersSent) throw error;
            const type = { 'content-type': 'application/json' };
            answer(call, error.status, { ...type, ...error.headers }, error.text);
        }
    }
}
