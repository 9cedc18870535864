import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpLimits } from './limits.js';
import type { Lingering } from './lingering.js';
import type { ProxiedPeer } from './proxy-header.js';
import type { ServerExchange } from './server-exchange.js';

/**
 * A client's connection. Its requests are served one after another in the order they came, even
 * when the client does not wait for the answers (pipelining): so a change is done before the
 * request behind it is looked at, and one connection never occupies the server more than once.
 */
export class Connection {
    readonly socket: Socket;
    /** Whom its peer has named in the PROXY protocol. */
    readonly proxied: ProxiedPeer | undefined;
    readonly #bytesBefore: number;
    readonly #limit: number;
    readonly #lingering: Lingering;
    readonly #destroySoon: () => void;
    readonly #waiting: (() => void)[] = [];
    #busy = false;
    #gone = false;
    #lingers = false;
    #pending = 0;
    /** The request that came last. */
    latest: IncomingMessage | undefined;
    /** The request being served. */
    current: ServerExchange | undefined;
    /** Whether no further request can come: the input is not HTTP from here on. */
    broken = false;
    /** Whether an answer with `Connection: close` was given; what is behind it is not looked at. */
    ended = false;

    constructor(socket: Socket, limits: HttpLimits, lingering: Lingering, proxied: ProxiedPeer | undefined) {
        this.socket = socket;
        this.#lingering = lingering;
        this.proxied = proxied;
        this.#bytesBefore = socket.bytesRead - socket.readableLength;
        this.#limit = limits.pipelined;
        // What Node's server calls behind the last answer.
        this.#destroySoon = socket.destroySoon.bind(socket);
        socket.destroySoon = () => this.end();
        socket.once('close', () => {
            this.#gone = true;
            this.current?.abort(new Error('the client closed the connection'));
        });
    }

    /** Whether no request is being served or waits. */
    get idle(): boolean {
        return this.#pending === 0;
    }

    /** Whether nothing of any request has come. */
    get unused(): boolean {
        return this.socket.bytesRead === this.#bytesBefore;
    }

    /** How many requests are being served or wait. */
    get pending(): number {
        return this.#pending;
    }

    /** Whether the client can get no answer any more. */
    get gone(): boolean {
        return this.#gone || this.#lingers;
    }

    /** Whether it has got its last answer and waits for the client to stop sending. */
    get lingers(): boolean {
        return this.#lingers;
    }

    /** Whether the current request is the last one. */
    get ending(): boolean {
        return this.broken && this.#pending === 1;
    }

    /** Notes a request the moment it comes. Each one goes on with {@link enter}. */
    arrive(request: IncomingMessage): void {
        this.latest = request;
        this.#pending += 1;
    }

    /** Waits for the turn of a request, which {@link leave} ends; false when it will have none. */
    async enter(): Promise<boolean> {
        if (this.#busy) {
            if (this.#waiting.length >= this.#limit) {
                this.socket.destroy();
                this.#pending -= 1;
                return false;
            }
            await new Promise<void>((resolve) => this.#waiting.push(resolve));
        }
        this.#busy = true;
        if (this.gone || this.ended) {
            this.leave();
            return false;
        }
        return true;
    }

    /** Gives the turn to the next request. */
    leave(): void {
        this.current = undefined;
        this.#pending -= 1;
        const next = this.#waiting.shift();
        if (next === undefined) {
            this.#busy = false;
            return;
        }
        next();
    }

    /** Closes it behind what was written, which was the last answer; at once if the client cannot be sending. */
    end(): void {
        if (this.socket.readableEnded) {
            this.#destroySoon();
        } else if (this.broken || this.#pending > 1 || this.latest?.complete === false) {
            this.#linger();
        } else if (!this.#lingers) {
            this.#destroySoon();
        }
    }

    /** Closes it, on which nothing is going on; what it has been answered is still to be read. */
    closeIdle(): void {
        if (this.latest?.complete === false) {
            this.#linger();
        } else if (!this.#lingers) {
            this.socket.destroy();
        }
    }

    #linger(): void {
        if (!this.gone) {
            this.#lingers = true;
            this.#lingering.begin(this.socket);
        }
    }
}
