import type { Readable } from 'node:stream';
import { OutgoingError, toOutgoingError } from './http-errors.js';
import { discard } from './http-redirects.js';

/** Largest body of a failed answer that is looked at, bytes. */
const MAX_PROBLEM_BYTES = 64 * 1024;

/** Reads a body to its end. @throws OutgoingError `too-large`, or the stream's error */
async function readAll(body: Readable, maxBytes: number, what: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    let size = 0;
    try {
        for await (const part of body as AsyncIterable<Buffer>) {
            size += part.length;
            if (size > maxBytes) {
                throw new OutgoingError('too-large', `${what}: more than ${maxBytes} bytes`);
            }
            parts.push(part);
        }
    } finally {
        if (!body.readableEnded) {
            discard(body);
        }
    }
    return Buffer.concat(parts);
}

/** Reads a body. @param what names the request in messages @throws OutgoingError */
export async function readBytes(body: Readable, maxBytes: number, what: string): Promise<Buffer> {
    return readAll(body, maxBytes, what).catch((error: unknown) => {
        throw toOutgoingError(error, what);
    });
}

/**
 * Reads a JSON body.
 *
 * @param what names the request in messages
 * @throws OutgoingError
 */
export async function readJson(body: Readable, maxBytes: number, what: string): Promise<unknown> {
    try {
        const bytes = await readAll(body, maxBytes, what);
        return JSON.parse(bytes.toString()) as unknown;
    } catch (error) {
        if (error instanceof SyntaxError) {
            // The parser's message quotes the body.
            throw new OutgoingError('malformed', `${what}: the body is not JSON`);
        }
        throw toOutgoingError(error, what);
    }
}

/** What a failed answer says for itself; `undefined` unless it is JSON of a modest size. */
export async function readProblem(body: Readable): Promise<unknown> {
    try {
        return await readJson(body, MAX_PROBLEM_BYTES, 'failed answer');
    } catch {
        return undefined;
    }
}
