import type { Readable } from 'node:stream';
import { OutgoingError } from './http-errors.js';
import { loggableUrl, parseHttpUrl } from './http-urls.js';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Where an answer sends us, user info taken off; `undefined` when it is no redirect.
 *
 * @param httpsOnly whether https is all that will do
 * @throws OutgoingError when there is no http or https URL to go to
 */
export function redirectTarget(
    status: number,
    headers: Readonly<Record<string, string | readonly string[] | undefined>>,
    from: URL,
    httpsOnly = false,
): URL | undefined {
    if (!REDIRECTS.has(status)) {
        return undefined;
    }
    const { location } = headers;
    const target = typeof location === 'string' ? parseHttpUrl(location, from) : undefined;
    if (target === undefined || (httpsOnly && target.protocol !== 'https:')) {
        throw new OutgoingError(
            'malformed',
            `GET ${loggableUrl(from)}: status ${status} without a usable location`,
            { status },
        );
    }
    target.username = '';
    target.password = '';
    return target;
}

/** Gives up a body, with its connection; what comes of it is of no interest. */
export function discard(body: Readable): void {
    body.on('error', () => undefined);
    body.destroy();
}
