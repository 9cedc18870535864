import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type Logger from 'bunyan';
import { listenOn } from './listen.js';
import type { HttpListener } from './server.js';
import type { TlsCredentials } from './tls-credentials.js';

/** How long a client may take to agree on keys, ms. */
const HANDSHAKE_MS = 10_000;

/** What a {@link TlsListener} needs. */
export interface TlsListenerOptions {
    readonly credentials: TlsCredentials;
    readonly log: Logger;
    /** Takes a connection on which HTTP can be spoken. */
    readonly onConnection: (socket: TLSSocket) => void;
    readonly handshakeMs?: number;
}

/** What tells the connections of one listener apart. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
    return `${remoteAddress} ${remotePort}`;
}

/**
 * Listens for TLS beside the plain listener and hands its connections to the same server: whatever holds for
 * one of them holds for all (operations 4.5). It speaks HTTP/1.1.
 */
export class TlsListener implements HttpListener {
    readonly #server: Server;
    readonly #log: Logger;
    /** Connections that are no TLS ones yet, by their peers. */
    readonly #handshaking = new Map<string, Socket>();
    #expiresAt: number;

    constructor({ credentials, log, onConnection, handshakeMs = HANDSHAKE_MS }: TlsListenerOptions) {
        this.#log = log.child({ component: 'tls' });
        this.#expiresAt = credentials.expiresAt;
        this.#server = createServer({
            ...credentials.context,
            handshakeTimeout: handshakeMs,
            ALPNProtocols: ['http/1.1'],
        });
        this.#server.on('connection', (socket: Socket) => {
            const peer = peerOf(socket);
            this.#handshaking.set(peer, socket);
            socket.once('close', () => this.#handshaking.delete(peer));
        });
        this.#server.on('secureConnection', (socket) => {
            this.#handshaking.delete(peerOf(socket));
            onConnection(socket);
        });
        this.#server.on('tlsClientError', (error, socket) => {
            this.#log.debug({ err: error }, 'connection does not speak TLS');
            socket.destroy();
        });
    }

    /** When the certificate shown is not valid any more, milliseconds since the epoch. */
    get expiresAt(): number {
        return this.#expiresAt;
    }

    /** Starts to listen; resolves to the port. @throws the system's error, e.g. `EADDRINUSE` */
    async listen(port: number, address: string): Promise<number> {
        return listenOn(this.#server, port, address, (error) =>
            this.#log.error({ err: error }, 'TLS listener failed'),
        );
    }

    /** Shows something else from the next connection on. */
    renew(credentials: TlsCredentials): void {
        this.#server.setSecureContext(credentials.context);
        this.#expiresAt = credentials.expiresAt;
    }

    stopAccepting(): void {
        if (this.#server.listening) {
            this.#server.close();
        }
        // They have asked for nothing yet.
        this.#handshaking.forEach((socket) => socket.destroy());
    }
}
