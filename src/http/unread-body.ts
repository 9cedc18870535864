import type { IncomingMessage } from 'node:http';
import type { HttpLimits } from './limits.js';

/**
 * Whether what is still to come of a request's body is too much, or nobody knows how much, for the connection
 * to be kept behind the answer (http-api 3.8, D13).
 *
 * @param awaitsContinue whether the client waits for `100 Continue`: it may send the body or not
 */
export function endsConnection(
    request: IncomingMessage,
    awaitsContinue: boolean,
    limits: HttpLimits,
): boolean {
    if (request.complete) {
        return false;
    }
    const length = request.headers['content-length'];
    return awaitsContinue || length === undefined || Number(length) > limits.drainBytes;
}

/** Lets the little that is to come pass by; a client that does not send it in time is cut off. */
export function discardRest(request: IncomingMessage, limits: HttpLimits): void {
    request.resume();
    if (request.complete || request.destroyed) {
        return;
    }
    const { socket } = request;
    const late = setTimeout(() => socket.destroy(), limits.lingerMs);
    // What nobody has read of a request that is answered is dropped by Node, which tells nobody.
    let before = socket.bytesRead;
    const silent = setInterval(() => {
        if (socket.bytesRead === before) {
            socket.destroy();
        }
        before = socket.bytesRead;
    }, limits.lingerSilenceMs);
    const stop = (): void => {
        clearTimeout(late);
        clearInterval(silent);
        request.off('end', stop);
        socket.off('close', stop);
    };
    request.on('end', stop);
    // An answered request does not notice.
    socket.on('close', stop);
}
