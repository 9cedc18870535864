import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/** Bytes held between the socket and a slow storage. */
const HIGH_WATER_MARK = 1_048_576;

/**
 * The body of an upload as a stream of its own. Destroying a request would cut the connection, so
 * whoever reads an upload gets this instead: destroying it only stops the reading, and the error
 * can still be answered (http-api 3.8).
 */
export class UploadStream extends Readable {
    readonly #request: IncomingMessage;
    #started = false;
    #cutOff: Error | undefined;

    constructor(request: IncomingMessage) {
        super({ highWaterMark: HIGH_WATER_MARK });
        this.#request = request;
    }

    /** Nothing more will come: whoever reads it, now or later, fails. */
    cutOff(reason: Error): void {
        this.#cutOff = reason;
        if (this.#started) {
            this.destroy(reason);
        }
    }

    override _read(): void {
        if (this.#cutOff !== undefined) {
            this.destroy(this.#cutOff);
            return;
        }
        if (this.#started) {
            this.#request.resume();
            return;
        }
        this.#started = true;
        if (this.#request.destroyed) {
            this.#gone();
            return;
        }
        this.#request
            .on('data', this.#take)
            .on('end', this.#end)
            .on('error', this.#gone)
            .on('close', this.#gone);
    }

    override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
        const request = this.#request;
        request
            .off('data', this.#take)
            .off('end', this.#end)
            .off('error', this.#gone)
            .off('close', this.#gone);
        request.pause();
        callback(error);
    }

    readonly #take = (chunk: Buffer): void => {
        if (!this.push(chunk)) {
            this.#request.pause();
        }
    };

    readonly #end = (): void => {
        this.push(null);
    };

    readonly #gone = (): void => {
        if (!this.readableEnded && !this.#request.readableEnded) {
            this.destroy(
                Object.assign(new Error('the client closed the connection'), { code: 'ECONNRESET' }),
            );
        }
    };
}
