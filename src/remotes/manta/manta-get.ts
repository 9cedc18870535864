import type { IncomingMessage } from 'node:http';
import type { MantaClient } from 'manta';
import type { CallHeaders } from './manta-connection.js';

/** Largest error answer that is read, bytes. */
const MAX_ERROR_SIZE = 65_536;

type Done = (error: unknown, response: IncomingMessage) => void;

/** What Manta says in an error answer, in the form that the client gives it to others. */
function errorOf(status: number, body: string): object {
    try {
        const { code, message } = JSON.parse(body) as { code?: unknown; message?: unknown };
        return { statusCode: status, code, message };
    } catch {
        return { statusCode: status };
    }
}

function readError(response: IncomingMessage, done: (error: unknown) => void): void {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
        body += text;
        if (body.length > MAX_ERROR_SIZE) {
            response.destroy();
        }
    });
    // Also when it breaks off: the status alone says enough.
    response.once('close', () => done(errorOf(response.statusCode ?? 0, body)));
    response.on('error', () => undefined);
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
                    done(null, response);
                }
            });
        });
    });
}
