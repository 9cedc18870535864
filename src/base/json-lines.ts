import type { Readable } from 'node:stream';
import { OutgoingError } from './http-errors.js';

const LF = 0x0a;

/** Parts of a line that has not ended yet. */
class OpenLine {
    readonly #maxBytes: number;
    #parts: Buffer[] = [];
    #size = 0;

    constructor(maxBytes: number) {
        this.#maxBytes = maxBytes;
    }

    /** @throws OutgoingError `too-large` */
    add(part: Buffer): void {
        this.#size += part.length;
        if (this.#size > this.#maxBytes) {
            throw new OutgoingError('too-large', `a line of more than ${this.#maxBytes} bytes`);
        }
        this.#parts.push(part);
    }

    take(): string {
        const text = Buffer.concat(this.#parts).toString().trim();
        this.#parts = [];
        this.#size = 0;
        return text;
    }
}

function parse(text: string): unknown {
    try {
        return JSON.parse(text) as unknown;
    } catch {
        // The parser's message quotes the line.
        throw new OutgoingError('malformed', 'a line is not JSON');
    }
}

/**
 * Reads a body of one JSON value a line, each as it comes; empty lines say nothing. The body is destroyed when
 * the reader stops before its end.
 *
 * @param maxBytes longest line
 * @throws OutgoingError `too-large`, `malformed`, or the stream's error
 */
export async function* jsonLines(body: Readable, maxBytes: number): AsyncGenerator<unknown, void, undefined> {
    const line = new OpenLine(maxBytes);
    for await (const chunk of body as AsyncIterable<Buffer>) {
        let start = 0;
        for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
            line.add(chunk.subarray(start, end));
            start = end + 1;
            const text = line.take();
            if (text !== '') {
                yield parse(text);
            }
        }
        line.add(chunk.subarray(start));
    }
    const text = line.take();
    if (text !== '') {
        yield parse(text);
    }
}
