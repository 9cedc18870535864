import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { AnswerBody, LinesBody } from './send.js';

/** Parts are joined until a write has about this many bytes. */
const WRITE_SIZE = 262_144;

/** Resolves when the response takes more bytes or the client has gone. */
async function writable(response: ServerResponse): Promise<void> {
    await new Promise<void>((resolve) => {
        const done = (): void => {
            response.off('drain', done).off('close', done);
            resolve();
        };
        response.on('drain', done).on('close', done);
    });
}

function isGone(response: ServerResponse): boolean {
    return response.destroyed || response.closed;
}

/** Joins small parts, so that a long list costs few writes. */
function* joined(parts: readonly Buffer[]): Generator<Buffer> {
    let batch: Buffer[] = [];
    let size = 0;
    for (const part of parts) {
        batch.push(part);
        size += part.length;
        if (size >= WRITE_SIZE) {
            yield Buffer.concat(batch, size);
            batch = [];
            size = 0;
        }
    }
    yield Buffer.concat(batch, size);
}

async function writeParts(response: ServerResponse, parts: readonly Buffer[]): Promise<void> {
    for (const bytes of joined(parts)) {
        if (isGone(response)) {
            return;
        }
        if (!response.write(bytes)) {
            await writable(response);
        }
    }
}

/**
 * Copies a stream to the response with back-pressure, one handler call a chunk. Both ends are free
 * afterwards: a failing or wrongly sized source cuts the connection, so that the client sees a short
 * body, and a client that goes away ends the source (http-api 3.11).
 *
 * @throws why the source could not be sent in full
 */
async function writeStream(response: ServerResponse, stream: Readable, length: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
        let left = length;
        const stop = (error?: Error): void => {
            stream.off('data', take).off('end', end).off('error', stop).off('close', closed);
            response.off('drain', more).off('close', gone);
            if (error === undefined) {
                resolve();
                return;
            }
            stream.destroy();
            response.destroy();
            reject(error);
        };
        const take = (chunk: Buffer): void => {
            left -= chunk.length;
            if (left < 0) {
                stop(new Error('the source has more bytes than announced'));
            } else if (!response.write(chunk)) {
                stream.pause();
            }
        };
        const end = (): void =>
            stop(left === 0 ? undefined : new Error(`the source ended ${left} bytes early`));
        const closed = (): void => stop(new Error('the source was closed before its end'));
        const more = (): void => void stream.resume();
        const gone = (): void => {
            stop();
            stream.destroy();
        };
        if (isGone(response)) {
            stream.destroy();
            resolve();
        } else if (stream.errored !== null || stream.destroyed) {
            stop(stream.errored ?? new Error('the source is closed'));
        } else {
            response.on('drain', more).on('close', gone);
            stream.on('end', end).on('error', stop).on('close', closed).on('data', take);
        }
    });
}

/**
 * Writes a body behind headers that are already set, without ending the response.
 *
 * @throws when a source fails on the way; the connection is cut then
 */
export async function writeBody(
    response: ServerResponse,
    body: Exclude<AnswerBody, LinesBody>,
): Promise<void> {
    switch (body.kind) {
        case 'none':
            response.flushHeaders();
            return;
        case 'whole':
            response.write(body.data);
            return;
        case 'parts':
            return writeParts(response, body.parts);
        case 'stream':
            return writeStream(response, body.stream, body.length);
    }
}

/** Frees what a body holds without sending it. */
export function releaseBody(body: AnswerBody): void {
    if (body.kind === 'stream') {
        body.stream.destroy();
    } else if (body.kind === 'lines') {
        body.release();
    }
}

/**
 * Ends the response; resolves when its last byte is with the system or the client has gone.
 *
 * @param limitMs after how long a client that does not take it is cut; default: when the connection is
 * silent for too long
 */
export async function endResponse(
    response: ServerResponse,
    data?: string | Buffer,
    limitMs?: number,
): Promise<void> {
    if (isGone(response)) {
        return;
    }
    const cut = limitMs === undefined ? undefined : setTimeout(() => response.destroy(), limitMs);
    await new Promise<void>((resolve) => {
        response.once('finish', resolve).once('close', resolve);
        if (data === undefined) {
            response.end();
        } else {
            response.end(data);
        }
    });
    clearTimeout(cut);
}
