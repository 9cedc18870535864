import { isIPv6 } from 'node:net';
import { OutgoingError } from './http-errors.js';

/** A URL of a web server, perhaps relative to another one; `undefined` when the text is none. */
export function parseHttpUrl(text: string, base?: URL): URL | undefined {
    if (!URL.canParse(text, base?.href)) {
        return undefined;
    }
    const url = new URL(text, base);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** The base URL of a web server at an address, which may be one of IPv6. */
export function httpBaseUrl(host: string, port: number): string {
    return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** The port of a URL, also where it names none. */
export function portOf(url: URL): string {
    return url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? '') : url.port;
}

/** A URL as it may be logged: without user info, query string and fragment. */
export function loggableUrl(url: URL): string {
    return `${url.origin}${url.pathname}`;
}

function basicAuthorization(url: URL): string {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** The header for the user info of a URL; none without user info. @throws OutgoingError when it cannot be decoded */
export function authorizationOf(url: URL, header: string): Readonly<Record<string, string>> {
    if (url.username === '' && url.password === '') {
        return {};
    }
    try {
        return { [header]: basicAuthorization(url) };
    } catch (cause) {
        throw new OutgoingError('malformed', 'the user info of a URL cannot be decoded', { cause });
    }
}
