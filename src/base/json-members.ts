import type { Readable } from 'node:stream';
import { OutgoingError } from './http-errors.js';

/** A member of a JSON object. */
export type JsonMember = readonly [key: string, value: unknown];

/** The text has no object in the place that was named. */
export class NoSuchObject extends Error {
    override readonly name = 'NoSuchObject';
}

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c];
const [OBJECT, OBJECT_END, LIST, LIST_END] = [0x7b, 0x7d, 0x5b, 0x5d];

function parse(text: string): unknown {
    try {
        return JSON.parse(text) as unknown;
    } catch {
        // The parser's message quotes the text.
        throw new OutgoingError('malformed', 'a member is not JSON');
    }
}

/** A part of the text that is kept, across chunks. */
class Kept {
    readonly #maxBytes: number;
    #parts: Buffer[] = [];
    #size = 0;
    /** Where it goes on in the chunk at hand; `undefined`: nothing is being kept. */
    #start: number | undefined;

    constructor(maxBytes: number) {
        this.#maxBytes = maxBytes;
    }

    begin(at: number): void {
        this.#start = at;
    }

    /** @throws OutgoingError `too-large` */
    add(chunk: Buffer, end: number): void {
        if (this.#start === undefined) {
            return;
        }
        this.#size += end - this.#start;
        if (this.#size > this.#maxBytes) {
            throw new OutgoingError('too-large', `a member of more than ${this.#maxBytes} bytes`);
        }
        this.#parts.push(chunk.subarray(this.#start, end));
        this.#start = 0;
    }

    take(chunk: Buffer, end: number): string {
        this.add(chunk, end);
        const text = Buffer.concat(this.#parts).toString();
        this.#parts = [];
        this.#size = 0;
        this.#start = undefined;
        return text;
    }
}

/** Goes through a text byte by byte; what is not on the way to the object is only counted, not kept. */
class MemberScanner {
    readonly #path: readonly string[];
    readonly #kept: Kept;
    readonly #members: JsonMember[] = [];
    /** How many objects and lists are open. */
    #depth = 0;
    /** How many of the open ones lie on the path, behind the outermost; -1: not even that one does. */
    #matched = -1;
    #isInText = false;
    #isEscaped = false;
    /** Whether the next text, in the object that is on the path, is a key. */
    #wantsKey = false;
    #key = '';
    #found = false;

    constructor(path: readonly string[], maxBytes: number) {
        this.#path = path;
        this.#kept = new Kept(maxBytes);
    }

    /** Whether the object was there, and the text came to its end. */
    get result(): 'found' | 'not-found' | 'cut' {
        return this.#depth > 0 ? 'cut' : this.#found ? 'found' : 'not-found';
    }

    /** Members that end in a chunk, in order. @throws OutgoingError */
    take(chunk: Buffer): readonly JsonMember[] {
        for (let at = 0; at < chunk.length; at += 1) {
            const byte = chunk[at] ?? 0;
            if (this.#isInText) {
                this.#inText(byte, chunk, at);
            } else {
                this.#outside(byte, chunk, at);
            }
        }
        this.#kept.add(chunk, chunk.length);
        return this.#members.splice(0);
    }

    get #isOnPath(): boolean {
        return this.#matched === this.#depth - 1;
    }

    get #isInObject(): boolean {
        return this.#isOnPath && this.#matched === this.#path.length;
    }

    #inText(byte: number, chunk: Buffer, at: number): void {
        if (this.#isEscaped) {
            this.#isEscaped = false;
        } else if (byte === BACKSLASH) {
            this.#isEscaped = true;
        } else if (byte === QUOTE) {
            this.#isInText = false;
            if (this.#isOnPath && this.#wantsKey) {
                this.#key = String(parse(`"${this.#kept.take(chunk, at)}"`));
                this.#wantsKey = false;
            }
        }
    }

    #outside(byte: number, chunk: Buffer, at: number): void {
        switch (byte) {
            case QUOTE:
                this.#isInText = true;
                if (this.#isOnPath && this.#wantsKey) {
                    this.#kept.begin(at + 1);
                }
                break;
            case COLON:
                if (this.#isInObject) {
                    this.#kept.begin(at + 1);
                }
                break;
            case COMMA:
                this.#endMember(chunk, at);
                this.#wantsKey ||= this.#isOnPath;
                break;
            case OBJECT:
            case LIST:
                this.#open(byte === OBJECT);
                break;
            case OBJECT_END:
            case LIST_END:
                this.#endMember(chunk, at);
                this.#depth -= 1;
                this.#matched = Math.min(this.#matched, this.#depth - 1);
                break;
            default:
        }
    }

    #open(isObject: boolean): void {
        const isNext =
            isObject && this.#isOnPath && (this.#depth === 0 || this.#key === this.#path[this.#matched]);
        this.#depth += 1;
        if (isNext) {
            this.#matched += 1;
            this.#wantsKey = true;
            this.#found ||= this.#isInObject;
        }
    }

    #endMember(chunk: Buffer, at: number): void {
        // An object without members ends while a key is still awaited.
        if (this.#isInObject && !this.#wantsKey) {
            this.#members.push([this.#key, parse(this.#kept.take(chunk, at))]);
        }
        this.#wantsKey &&= !this.#isOnPath;
    }
}

/**
 * Reads the members of one object of a JSON text of any length, each as it comes. The body is destroyed when the
 * reader stops before its end.
 *
 * @param path keys that lead to the object from the outermost one
 * @param maxBytes longest member
 * @throws NoSuchObject; OutgoingError `too-large`, `malformed`, or the stream's error
 */
export async function* jsonMembers(
    body: Readable,
    path: readonly string[],
    maxBytes: number,
): AsyncGenerator<JsonMember, void, undefined> {
    const scanner = new MemberScanner(path, maxBytes);
    for await (const chunk of body as AsyncIterable<Buffer>) {
        yield* scanner.take(chunk);
    }
    const { result } = scanner;
    if (result === 'cut') {
        throw new OutgoingError('malformed', 'the text ends too early');
    }
    if (result === 'not-found') {
        throw new NoSuchObject(`there is no object "${path.join('.')}"`);
    }
}
