import type { ClientRequest, IncomingMessage } from 'node:http';
import { newUuid } from '../../base/uuid.js';

/** Header that every call carries, by which its request is found again. */
export const CALL_ID = 'x-request-id';

/** Headers of a call for the client to send, by which its request is found. */
export type CallHeaders = Readonly<Record<string, string>>;

/** Largest error answer that is read, bytes. */
const MAX_ERROR_SIZE = 65_536;

/**
 * A call and its request. The Manta client does not give its requests away, and waits for ever for the
 * rest of an answer that breaks off: only who has the request learns of that, and can end it.
 */
export class MantaCall {
    readonly id = newUuid();
    readonly headers: CallHeaders;
    /** Told when no (further) answer can come and the client does not notice. */
    onBroken: (error: Error) => void = () => undefined;
    #request: ClientRequest | undefined;
    #isEnded = false;

    constructor(userAgent: string) {
        // The client has its own name for itself, unless each call says another.
        this.headers = { [CALL_ID]: this.id, 'user-agent': userAgent };
    }

    /** Whether it went over a connection that had been used before, which the other end may have closed. */
    get wasReused(): boolean {
        return this.#request?.reusedSocket === true;
    }

    /** Takes the request that the client has made. */
    attach(request: ClientRequest): void {
        this.#request = request;
        // The client would forget about errors of the connection from here on.
        request.once('upgrade', (_response, socket) => {
            socket.destroy();
            this.onBroken(new Error('the connection was switched to another protocol'));
        });
        request.once('response', (response) => this.#watch(response));
        if (this.#isEnded) {
            request.destroy();
        }
    }

    /** Ends the request and its connection, however far it is; one that is over leaves its connection. */
    end(): void {
        this.#isEnded = true;
        this.#request?.destroy();
    }

    /** Ends the call for a reason that whoever waits for it is told. */
    break(error: Error): void {
        this.onBroken(error);
        this.end();
    }

    #watch(response: IncomingMessage): void {
        response.once('close', () => {
            if (!response.complete) {
                this.onBroken(new Error('connection closed before the end of the answer'));
            }
        });
        if ((response.statusCode ?? 0) < 400) {
            return;
        }
        let size = 0;
        response.on('data', (chunk: Buffer | string) => {
            size += chunk.length;
            if (size > MAX_ERROR_SIZE) {
                this.break(new Error(`error answer of more than ${MAX_ERROR_SIZE} bytes`));
            }
        });
    }
}
