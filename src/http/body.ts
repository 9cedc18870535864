import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { MAX_BODY_SIZE } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import type { JsonValue } from '../manifest/types.js';
import type { RequestBody } from './exchange.js';

const inflate = promisify(gunzip);

const ABSENT: RequestBody = { present: false };

function tooLarge(): ApiError {
    return new ApiError('PayloadTooLargeError', `Request body size exceeds ${MAX_BODY_SIZE}`);
}

function announcesBody(headers: IncomingHttpHeaders): boolean {
    const length = headers['content-length'];
    return length === undefined ? headers['transfer-encoding'] !== undefined : Number(length) > 0;
}

/**
 * Takes the whole body into memory, at most {@link MAX_BODY_SIZE} bytes.
 *
 * @throws 413, or 400 that nobody reads when the client goes away or the request is to stop
 */
async function collect(request: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        let size = 0;
        const stop = (): void => {
            request.off('data', take).off('end', end).off('close', gone).off('error', gone);
            signal.removeEventListener('abort', gone);
        };
        const take = (chunk: Buffer): void => {
            size += chunk.length;
            chunks.push(chunk);
            if (size > MAX_BODY_SIZE) {
                stop();
                request.pause();
                reject(tooLarge());
            }
        };
        const end = (): void => {
            stop();
            resolve(Buffer.concat(chunks, size));
        };
        const gone = (): void => {
            stop();
            reject(new ApiError('BadRequestError', 'request aborted'));
        };
        if (request.destroyed || signal.aborted) {
            gone();
        } else {
            signal.addEventListener('abort', gone);
            request.on('data', take).on('end', end).on('close', gone).on('error', gone);
        }
    });
}

async function decompress(raw: Buffer, encoding: string | undefined): Promise<Buffer> {
    if (encoding?.trim().toLowerCase() !== 'gzip') {
        return raw;
    }
    try {
        return await inflate(raw, { maxOutputLength: MAX_BODY_SIZE });
    } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
            ? tooLarge()
            : new ApiError('InvalidContent', 'Invalid gzip content', { cause: error });
    }
}

function checkDigest(raw: Buffer, header: string | readonly string[] | undefined): void {
    if (header === undefined) {
        return;
    }
    const given = typeof header === 'string' ? header : header.join(', ');
    const computed = createHash('md5').update(raw).digest('base64');
    if (given !== computed) {
        throw new ApiError('BadDigest', `Content-MD5 '${given}' didn't match '${computed}'`);
    }
}

function parseJson(text: string): RequestBody {
    try {
        return { present: true, value: JSON.parse(text) as JsonValue };
    } catch (error) {
        throw new ApiError('InvalidContent', `Invalid JSON: ${(error as Error).message}`, { cause: error });
    }
}

function looksLikeJson(text: string): boolean {
    return /^\s*[[{]/.test(text);
}

/** Every name becomes an own property, `__proto__` too; of a repeated one the last value counts. */
function parseForm(text: string): RequestBody {
    return { present: true, value: Object.fromEntries(new URLSearchParams(text)) };
}

/** What is read from a body of each media type; every other type counts as absent (http-api 1.3). */
function parse(text: string, mediaType: string): RequestBody {
    if (mediaType === 'application/json') {
        return parseJson(text);
    }
    if (mediaType === 'application/x-www-form-urlencoded') {
        return looksLikeJson(text) ? parseJson(text) : parseForm(text);
    }
    if (mediaType === '' || mediaType === 'application/octet-stream' || mediaType.startsWith('text/')) {
        return looksLikeJson(text) ? parseJson(text) : ABSENT;
    }
    return ABSENT;
}

/**
 * Reads and parses the body of a request, in the order of checks of http-api 1.3. A chunked body
 * without a single byte counts as absent, like one of length 0.
 *
 * @param signal aborted when nobody wants it any more
 * @param askForBody called once it is sure that the body is wanted, to send `100 Continue`
 * @throws 400 `InvalidContent`, `BadDigest`; 413 `PayloadTooLargeError`
 */
export async function readRequestBody(
    request: IncomingMessage,
    signal: AbortSignal,
    askForBody: () => void,
): Promise<RequestBody> {
    const { headers } = request;
    if (!announcesBody(headers)) {
        return ABSENT;
    }
    if (Number(headers['content-length'] ?? 0) > MAX_BODY_SIZE) {
        throw tooLarge();
    }
    askForBody();
    const raw = await collect(request, signal);
    if (raw.length === 0) {
        return ABSENT;
    }
    const bytes = await decompress(raw, headers['content-encoding']);
    checkDigest(raw, headers['content-md5']);
    const mediaType = (headers['content-type'] ?? '').split(';', 1)[0] ?? '';
    return parse(bytes.toString('utf8'), mediaType.trim().toLowerCase());
}
