import type { IncomingMessage } from 'node:http';
import type { MantaClient } from 'manta';
import type { CallHeaders } from './manta-call.js';
import { unexpected } from './manta-failure.js';

type Done = (error: unknown, response: IncomingMessage) => void;

/** What Manta says in an error answer, in the form that the client gives it to others. */
function errorOf(statusCode: number | undefined, body: string): object {
    try {
        const { code, message } = JSON.parse(body) as { code?: unknown; message?: unknown };
        return { statusCode, code, message };
    } catch {
        return { statusCode };
    }
}

function readError(response: IncomingMessage, done: (error: unknown) => void): void {
    let body = '';
    response.setEncoding('utf8');
    // How much may come, and what happens when it breaks off, is the call's business.
    response.on('data', (text: string) => (body += text));
    response.once('end', () => done(errorOf(response.statusCode, body)));
}

/**
 * A GET that hands over the answer as it comes. The client's own `get` puts a second stream behind it,
 * takes no notice when the connection breaks, and hashes all bytes on this thread.
 */
export function mantaGet(
    client: MantaClient,
    path: string,
    query: Readonly<Record<string, string>>,
    callHeaders: CallHeaders,
    done: Done,
): void {
    const headers: Record<string, string> = { accept: '*/*', ...callHeaders };
    const fail = (error: unknown): void => done(error, undefined as never);
    client.signRequest({ headers }, (unsigned) => {
        if (unsigned !== null && unsigned !== undefined) {
            fail(unsigned);
            return;
        }
        const queryText = new URLSearchParams(query).toString();
        const target = client.path(path) + (queryText === '' ? '' : `?${queryText}`);
        client.client.get({ path: target, headers, retry: false }, (error, request) => {
            if (error !== null && error !== undefined) {
                fail(error);
                return;
            }
            request.once('result', (refused: unknown, response: IncomingMessage | null) => {
                if (response === null) {
                    fail(refused);
                } else if (refused !== null && refused !== undefined) {
                    readError(response, fail);
                } else {
                    done(unexpected(response), response);
                }
            });
        });
    });
}
