import type { Socket } from 'node:net';
import type { HttpLimits } from './limits.js';
import type { ServerExchange } from './server-exchange.js';

/**
 * A client's connection. Its requests are served one after another in the order they came, even
 * when the client does not wait for the answers (pipelining): so a change is done before the
 * request behind it is looked at, and one connection never occupies the server more than once.
 */
export class Connection {
    readonly socket: Socket;
    readonly #limit: number;
    readonly #waiting: (() => void)[] = [];
    #busy = false;
    #gone = false;
    /** The request being served. */
    current: ServerExchange | undefined;
    /** Whether the connection is to be closed behind the current answer: its input cannot be read on. */
    closing = false;

    constructor(socket: Socket, limits: HttpLimits) {
        this.socket = socket;
        this.#limit = limits.pipelined;
        socket.once('close', () => {
            this.#gone = true;
            this.current?.abort(new Error('the client closed the connection'));
            this.#waiting.splice(0).forEach((wake) => wake());
        });
    }

    /** Whether nothing was ever asked on it, or nothing since the last answer. */
    get idle(): boolean {
        return !this.#busy;
    }

    /** Whether the client can still get an answer. */
    get gone(): boolean {
        return this.#gone;
    }

    /** Waits for the turn of a request; false when the client has gone meanwhile. */
    async enter(): Promise<boolean> {
        if (!this.#busy) {
            this.#busy = true;
            return !this.#gone;
        }
        if (this.#waiting.length >= this.#limit) {
            this.socket.destroy();
            return false;
        }
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        return !this.#gone;
    }

    /** Gives the turn to the next request. */
    leave(): void {
        this.current = undefined;
        const next = this.#waiting.shift();
        if (next === undefined) {
            this.#busy = false;
            return;
        }
        next();
    }
}
