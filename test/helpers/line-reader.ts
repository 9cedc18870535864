import type { IncomingMessage } from 'node:http';
import type { Document, HttpClient, RequestOptions } from './http-client.js';

const LINE_LIMIT_MS = 20_000;

/** A stream of JSON lines as a client reads it. */
export class LineReader {
    /** Everything read so far. */
    readonly lines: Document[] = [];
    readonly message: IncomingMessage;
    #pending = '';
    #taken = 0;
    #ended = false;
    #error: Error | undefined;
    #wake: () => void = () => undefined;

    constructor(message: IncomingMessage) {
        this.message = message;
        message.on('error', (error) => (this.#error = error));
        message.setEncoding('utf8');
        message.on('data', (text: string) => this.#take(text));
        message.once('close', () => {
            this.#ended = true;
            this.#wake();
        });
    }

    static async open(
        client: HttpClient,
        path: string,
        options: RequestOptions = {},
        method = 'GET',
    ): Promise<LineReader> {
        return new LineReader(await client.download(path, options, method));
    }

    get status(): number {
        return this.message.statusCode ?? 0;
    }

    header(name: string): string | undefined {
        const value = this.message.headers[name];
        return Array.isArray(value) ? value.join(', ') : value;
    }

    /** The next line; throws when there is none within 20 s, or the stream has ended. */
    async next(): Promise<Document> {
        const line = await this.#next();
        if (line === undefined) throw new Error('the stream has ended');
        return line;
    }

    /** Reads on to the next line of a type. */
    async until(type: string): Promise<Document> {
        for (;;) {
            const line = await this.next();
            if (line['type'] === type) return line;
        }
    }

    /** The lines up to the end; throws when the connection was cut before that. */
    async rest(): Promise<readonly Document[]> {
        const from = this.#taken;
        while ((await this.#next()) !== undefined) {
            // Each line is kept in `lines`.
        }
        if (this.#error !== undefined) throw this.#error;
        return this.lines.slice(from);
    }

    /** Hangs up. */
    close(): void {
        this.message.destroy();
    }

    /** Only a line feed ends a line: JSON may have the other separators of Unicode in its texts. */
    #take(text: string): void {
        const lines = (this.#pending + text).split('\n');
        this.#pending = lines.pop() ?? '';
        this.lines.push(...lines.map((line) => JSON.parse(line) as Document));
        this.#wake();
    }

    async #next(): Promise<Document | undefined> {
        const deadline = Date.now() + LINE_LIMIT_MS;
        while (this.#taken >= this.lines.length) {
            if (this.#ended) return undefined;
            const left = deadline - Date.now();
            if (left <= 0) throw new Error(`no line within ${LINE_LIMIT_MS} ms`);
            await new Promise<void>((resolve) => {
                const timer = setTimeout(resolve, left);
                this.#wake = () => {
                    clearTimeout(timer);
                    resolve();
                };
            });
        }
        this.#taken += 1;
        return this.lines[this.#taken - 1];
    }
}
