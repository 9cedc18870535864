import { createServer, type Server, type Socket } from 'node:net';
import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import { Complaints } from '../base/complaints.js';
import type { ConfigSource } from '../base/config-types.js';
import { isTrustedProxy } from './forwarded.js';
import { listenOn } from './listen.js';
import { type ProxiedPeer, type ProxyHeader, readProxyHeader } from './proxy-header.js';
import type { HttpListener } from './server.js';

/** How long the header may take, ms; it is the first thing a proxy says. */
const HEADER_MS = 10_000;

/** What a {@link ProxyListener} needs. */
export interface ProxyListenerOptions {
    readonly config: ConfigSource;
    readonly log: Logger;
    readonly clock: Clock;
    /** Takes a connection on which HTTP comes next, and whom the proxy speaks for. */
    readonly onConnection: (socket: Socket, peer: ProxiedPeer | undefined) => void;
    readonly headerMs?: number;
}

/**
 * Listens in place of the plain listener when front servers speak the PROXY protocol (operations 4.8). Only
 * those in `trustedProxies` may: the header says who the client is, and it is believed.
 */
export class ProxyListener implements HttpListener {
    readonly #options: ProxyListenerOptions;
    readonly #server: Server;
    readonly #log: Logger;
    readonly #complaints: Complaints;
    /** Connections whose header has not come yet. */
    readonly #waiting = new Set<Socket>();

    constructor(options: ProxyListenerOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'proxy' });
        this.#complaints = new Complaints(options.clock);
        // As Node's HTTP server has it.
        this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    }

    /** Starts to listen; resolves to the port. @throws the system's error, e.g. `EADDRINUSE` */
    async listen(port: number, address: string): Promise<number> {
        return listenOn(this.#server, port, address, (error) =>
            this.#log.error({ err: error }, 'listener failed'),
        );
    }

    stopAccepting(): void {
        if (this.#server.listening) {
            this.#server.close();
        }
        // They have asked for nothing yet.
        this.#waiting.forEach((socket) => socket.destroy());
    }

    #accept(socket: Socket): void {
        socket.on('error', (error) => this.#log.debug({ err: error }, 'connection failed'));
        if (isTrustedProxy(this.#options.config.current.trustedProxies, socket.remoteAddress)) {
            this.#awaitHeader(socket);
        } else {
            this.#refuse(socket, 'connection refused: its peer is not in trustedProxies');
        }
    }

    #refuse(socket: Socket, complaint: string): void {
        const { remoteAddress, remotePort } = socket;
        socket.destroy();
        if (this.#complaints.isDue(complaint)) {
            this.#log.warn({ remoteAddress, remotePort }, complaint);
        }
    }

    #awaitHeader(socket: Socket): void {
        const { headerMs = HEADER_MS } = this.#options;
        let head = Buffer.alloc(0);
        const late = setTimeout(
            () => this.#refuse(socket, 'connection refused: no PROXY header came in time'),
            headerMs,
        );
        const done = (): void => {
            clearTimeout(late);
            this.#waiting.delete(socket);
            socket.off('data', take).off('end', gone).off('close', done);
        };
        const gone = (): void => void socket.destroy();
        const take = (chunk: Buffer): void => {
            head = Buffer.concat([head, chunk]);
            try {
                const header = readProxyHeader(head);
                if (header !== undefined) {
                    done();
                    this.#handOver(socket, header, head);
                }
            } catch (error) {
                this.#log.debug({ err: error }, 'no PROXY header');
                this.#refuse(socket, 'connection refused: it does not begin with a PROXY header');
            }
        };
        this.#waiting.add(socket);
        socket.on('data', take).on('end', gone).on('close', done);
    }

    #handOver(socket: Socket, { length, peer }: ProxyHeader, head: Buffer): void {
        // Nothing flows until the next reader is there, who gets what has come behind the header.
        socket.pause();
        if (head.length > length) {
            socket.unshift(head.subarray(length));
        }
        this.#options.onConnection(socket, peer);
        socket.resume();
    }
}
