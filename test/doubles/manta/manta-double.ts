import { randomUUID } from 'node:crypto';
import { once, type EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WaitOptions } from '../call-log.js';
import type { Hold, HoldPoint } from '../call-rules.js';
import { Faults, type CallLimits, type CallMatch, type Fault } from './faults.js';
import { parsePath } from './paths.js';
import { RequestLog, type LoggedRequest } from './request-log.js';
import { serve } from './serve.js';
import { Signatures, type MantaAccount } from './signatures.js';
import { MantaStore } from './store.js';
import type { Entry } from './tree.js';

/** How to start a double. */
export interface MantaDoubleOptions {
    /** By their logins. */
    readonly accounts: Readonly<Record<string, MantaAccount>>;
    /** Where everything is kept; by default in a temporary directory that goes with the double. */
    readonly directory?: string;
    /** Port of 127.0.0.1; by default a free one. */
    readonly port?: number;
    /** PEM texts: the double speaks TLS. */
    readonly tls?: { readonly certificate: string; readonly key: string };
    /** Whether snaplinks may be made; by default they may. */
    readonly snaplinks?: boolean;
}

/** How long a connection without a request is kept. */
const IDLE_MS = 120_000;

/**
 * A Manta for tests: speaks the directory API of the real one on a port of 127.0.0.1, keeps objects
 * on disk, believes nobody without a signature, and can be told to misbehave.
 */
export class MantaDouble {
    /** Whether snaplinks may be made. */
    snaplinks: boolean;
    /** Connections taken so far. */
    connections = 0;
    readonly #serverName = randomUUID();
    readonly #signatures: Signatures;
    readonly #store: MantaStore;
    readonly #faults = new Faults();
    readonly #log = new RequestLog();
    readonly #sockets = new Set<Socket>();
    readonly #server: Server;
    readonly #scheme: string;
    readonly #temporary: string | undefined;
    #port: number;

    private constructor({ accounts, directory, port = 0, tls, snaplinks = true }: MantaDoubleOptions) {
        this.snaplinks = snaplinks;
        this.#port = port;
        this.#scheme = tls === undefined ? 'http' : 'https';
        this.#temporary = directory === undefined ? mkdtempSync(join(tmpdir(), 'imgapi-manta-')) : undefined;
        this.#signatures = new Signatures(accounts);
        this.#store = new MantaStore(directory ?? this.#temporary ?? '', Object.keys(accounts));
        const options = { requestTimeout: 0, keepAliveTimeout: IDLE_MS };
        this.#server =
            tls === undefined
                ? createServer(options)
                : createTlsServer({ ...options, cert: tls.certificate, key: tls.key });
        this.#server.on('connection', (socket: Socket) => {
            this.connections += 1;
            this.#sockets.add(socket);
            socket.once('close', () => this.#sockets.delete(socket));
            socket.on('error', () => undefined);
        });
        const handle = (request: IncomingMessage, response: ServerResponse): void => {
            request.on('error', () => undefined);
            response.on('error', () => undefined);
            void serve(this.#surroundings(), request, response);
        };
        this.#server.on('request', handle);
        this.#server.on('checkContinue', handle);
    }

    static async start(options: MantaDoubleOptions): Promise<MantaDouble> {
        const double = new MantaDouble(options);
        await double.restart();
        return double;
    }

    get port(): number {
        return this.#port;
    }

    get url(): string {
        return `${this.#scheme}://127.0.0.1:${this.#port}`;
    }

    /** Connections that are open at the moment. */
    get open(): number {
        return this.#sockets.size;
    }

    /** Listens again after `stop`, on the same port. */
    async restart(): Promise<void> {
        this.#server.listen(this.#port, '127.0.0.1');
        await once(this.#server, 'listening');
        const address = this.#server.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        this.#port = address.port;
    }

    /** Listens no more and cuts all connections; what is stored stays. */
    async stop(): Promise<void> {
        if (!this.#server.listening) return;
        const emitters: readonly EventEmitter[] = [this.#server, ...this.#sockets];
        const closed = emitters.map((emitter) => new Promise((resolve) => emitter.once('close', resolve)));
        this.#server.close();
        this.cutConnections();
        await Promise.all(closed);
    }

    /** Ends for good: all faults, all connections, and the directory if it was temporary. */
    async close(): Promise<void> {
        this.#faults.clear();
        await this.stop();
        if (this.#temporary !== undefined) rmSync(this.#temporary, { recursive: true, force: true });
    }

    /** Cuts all connections at once; new ones are taken. */
    cutConnections(): void {
        for (const socket of this.#sockets) socket.destroy();
    }

    /** Has an account know one more public key. */
    addKey(account: string, key: string): void {
        this.#signatures.addKey(account, key);
    }

    /** Does this wrong with calls from now on; what is returned ends it. */
    inject(fault: Fault, limits: CallLimits = {}): () => void {
        return this.#faults.inject(fault, limits);
    }

    /** Holds calls until what is returned lets them go on. */
    hold(limits: CallLimits, when: HoldPoint = 'before'): Hold {
        return this.#faults.hold(limits, when);
    }

    /** Ends all faults and lets all held calls go on. */
    clearFaults(): void {
        this.#faults.clear();
    }

    /** The latest requests, in the order they came in. */
    requests(match: CallMatch = {}): readonly LoggedRequest[] {
        return this.#log.find(match);
    }

    clearRequests(): void {
        this.#log.clear();
    }

    /** Resolves when there has been such a request since the log was cleared. */
    waitFor(match: CallMatch, options: WaitOptions = {}): Promise<LoggedRequest> {
        return this.#log.waitFor(match, options);
    }

    /** What is at a path, without asking over the wire. */
    entry(path: string): Entry | undefined {
        return this.#store.get(parsePath(encodeURI(path)));
    }

    /** Paths of all objects below a directory, sorted. */
    objects(directory: string): readonly string[] {
        return this.#store.objectsBelow(directory);
    }

    /** Names of the blobs there are, with or without a path. */
    get blobs(): readonly string[] {
        return this.#store.blobs;
    }

    #surroundings(): Parameters<typeof serve>[0] {
        return {
            serverName: this.#serverName,
            snaplinks: this.snaplinks,
            store: this.#store,
            signatures: this.#signatures,
            faults: this.#faults,
            log: this.#log,
        };
    }
}
