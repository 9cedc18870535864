import type { Socket } from 'node:net';
import type { HttpLimits } from './limits.js';

/**
 * Connections that have got their last answer while the client may still be sending (http-api 3.8, D13). To
 * close one with bytes unread is to reset it, and then the system of the client throws away an answer that it
 * has not read. So our side is closed behind the answer, and what comes passes by until the client closes its
 * own, within bounds.
 */
export class Lingering {
    readonly #limits: HttpLimits;
    readonly #timers = new Map<Socket, NodeJS.Timeout>();
    #mostMs: number;

    constructor(limits: HttpLimits) {
        this.#limits = limits;
        this.#mostMs = limits.lingerMs;
    }

    /**
     * Lets what comes on a connection pass by. Nothing more can be written to it; it is closed when the client
     * has closed its side, too, as any socket is whose both sides have ended.
     */
    begin(socket: Socket): void {
        const cut = (): void => void socket.destroy();
        this.#timers.set(socket, setTimeout(cut, this.#mostMs));
        socket.once('close', () => {
            clearTimeout(this.#timers.get(socket));
            this.#timers.delete(socket);
        });
        socket.setTimeout(this.#limits.lingerSilenceMs, cut);
        socket.end();
        // Whoever has stopped the reading is to start it again, before it is taken out of his hands.
        socket.resume();
        process.nextTick(() => this.#discard(socket));
    }

    /** The server is about to end, in so many milliseconds at most: nobody gets more time than a silent client. */
    hurry(limitMs: number): void {
        this.#mostMs = Math.min(this.#limits.lingerSilenceMs, limitMs);
        for (const [socket, timer] of this.#timers) {
            clearTimeout(timer);
            this.#timers.set(
                socket,
                setTimeout(() => socket.destroy(), this.#mostMs),
            );
        }
    }

    /** One read at each turn of the event loop: clients that send fast leave the others theirs. */
    #discard(socket: Socket): void {
        let left = this.#limits.lingerBytes;
        // Those of Node's HTTP parser, which would see requests in what comes.
        socket.removeAllListeners('data');
        socket.on('data', (chunk: Buffer) => {
            left -= chunk.length;
            if (left < 0) {
                socket.destroy();
                return;
            }
            socket.pause();
            setImmediate(() => socket.resume());
        });
    }
}
