import type { IncomingMessage } from 'node:http';
import type { HttpLimits } from './limits.js';

/**
 * What is left of a request's body when the answer is ready (http-api 3.8, D13):
 * `none`: all has arrived; `small`: so little is to come that the connection can be kept;
 * `large`: too much or nobody knows; `unsent`: the client waits for `100 Continue`.
 */
export type UnreadBody = 'none' | 'small' | 'large' | 'unsent';

/** Judges how much of the body is still to come. */
export function unreadBody(
    request: IncomingMessage,
    awaitsContinue: boolean,
    limits: HttpLimits,
): UnreadBody {
    if (request.complete) {
        return 'none';
    }
    if (awaitsContinue) {
        return 'unsent';
    }
    const length = request.headers['content-length'];
    return length !== undefined && Number(length) <= limits.drainBytes ? 'small' : 'large';
}

/** Lets the little that is to come pass by; a client that does not send it in time is cut off. */
export function discardRest(request: IncomingMessage, limits: HttpLimits): void {
    request.resume();
    if (request.complete || request.destroyed) {
        return;
    }
    const timer = setTimeout(() => request.socket.destroy(), limits.drainMs);
    const stop = (): void => clearTimeout(timer);
    request.once('end', stop).once('close', stop);
}

/**
 * Reads and drops the body after the answer has been sent, so that a client that first sends and
 * then reads gets to the answer. Ends after 1 MiB, some seconds, or when the client has gone.
 */
export async function drainBounded(request: IncomingMessage, limits: HttpLimits): Promise<void> {
    if (request.destroyed || request.readableEnded) {
        return;
    }
    await new Promise<void>((resolve) => {
        let left = limits.drainBytes;
        const done = (): void => {
            clearTimeout(timer);
            request.off('data', drop).off('end', done).off('close', done).off('error', done);
            request.pause();
            resolve();
        };
        const drop = (chunk: Buffer): void => {
            left -= chunk.length;
            if (left < 0) {
                done();
            }
        };
        const timer = setTimeout(done, limits.drainMs);
        request.on('data', drop).on('end', done).on('close', done).on('error', done);
        request.resume();
    });
}
