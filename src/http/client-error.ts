import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from '../base/errors.js';
import type { ReplyHeaders } from './reply.js';

/** What a connection that does not speak proper HTTP is told; every other fault is a plain 400. */
const ANSWERS: Readonly<Record<string, () => ApiError>> = {
    HPE_HEADER_OVERFLOW: () =>
        new ApiError('RequestHeaderFieldsTooLargeError', 'request header section is too large'),
    HPE_CHUNK_EXTENSIONS_OVERFLOW: () => new ApiError('BadRequestError', 'chunk extensions are too large'),
    ERR_HTTP_REQUEST_TIMEOUT: () => new ApiError('RequestTimeoutError', 'request was not received in time'),
};

/** The answer to bytes that are no request. */
export function clientErrorAnswer(error: NodeJS.ErrnoException): ApiError {
    return ANSWERS[error.code ?? '']?.() ?? new ApiError('BadRequestError', 'malformed request');
}

/**
 * Answers where there is no request to answer to, with all standard headers. The connection is to be closed then.
 *
 * @param headers the standard headers
 */
export function writeRawError(socket: Duplex, error: ApiError, headers: ReplyHeaders): void {
    const body = JSON.stringify(error.toBody(), null, 2);
    const lines = Object.entries({
        ...headers,
        ...error.headers,
        Date: new Date().toUTCString(),
        Connection: 'close',
        'Content-Type': 'application/json',
        'Content-Length': String(Buffer.byteLength(body)),
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    const status = `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}\r\n`;
    socket.write(`${status}${lines.join('')}\r\n${body}`);
}
