import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { signatureHeaders, type SigningKey } from './signing.js';

/** A JSON object of an answer. */
export type Document = Readonly<Record<string, unknown>>;

/** The error body every failure has (http-api 1.10). */
export interface ErrorBody {
    readonly code: string;
    readonly message: string;
    readonly errors?: readonly Document[];
}

const ANSWER_LIMIT_MS = 20_000;

/** A complete answer. */
export class Answer {
    readonly status: number;
    readonly body: Buffer;
    readonly #raw: readonly string[];

    constructor(message: IncomingMessage, body: Buffer) {
        this.status = message.statusCode ?? 0;
        this.#raw = message.rawHeaders;
        this.body = body;
    }

    /** All values of a header as sent, in order. */
    values(name: string): string[] {
        const wanted = name.toLowerCase();
        return this.#raw.filter((_, i) => i % 2 === 1 && this.#raw[i - 1]?.toLowerCase() === wanted);
    }

    /** The only value of a header; throws when it was sent twice. */
    header(name: string): string | undefined {
        const values = this.values(name);
        if (values.length > 1) throw new Error(`${name} was sent ${values.length} times`);
        return values[0];
    }

    get text(): string {
        return this.body.toString();
    }

    get json(): unknown {
        return JSON.parse(this.text) as unknown;
    }

    get document(): Document {
        return this.json as Document;
    }

    get list(): readonly Document[] {
        return this.json as readonly Document[];
    }

    get error(): ErrorBody {
        return this.json as ErrorBody;
    }

    /** The uuids of a list of images, in order. */
    get uuids(): string[] {
        return this.list.map((image) => String(image['uuid']));
    }
}

/** What goes with a request. */
export interface RequestOptions {
    readonly headers?: Readonly<Record<string, string>>;
    /** Sent as `application/json` with its length. */
    readonly json?: unknown;
    /** Sent as it is: bytes with their length, a stream in chunks. */
    readonly body?: Buffer | string | Readable;
    /** False: leave the signature off although the client has a key. */
    readonly sign?: boolean;
}

/** An upload whose body the caller writes. */
export interface OpenUpload {
    readonly request: ClientRequest;
    readonly answer: Promise<Answer>;
    /** Resolves with true when the server says 100 Continue, with false when it answers without it. */
    readonly continued: Promise<boolean>;
}

async function readAll(message: IncomingMessage): Promise<Answer> {
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    return new Answer(message, Buffer.concat(parts));
}

/** A small client for one server: nothing is followed, retried or hidden. */
export class HttpClient {
    readonly #port: number;
    readonly #key: SigningKey | undefined;
    readonly #answerLimitMs: number;
    readonly #agent: Agent;

    /**
     * @param answerLimitMs longest time without a byte from the server
     * @param ca PEM text of the certificate that the server must show; absent: no TLS
     */
    constructor(port: number, key?: SigningKey, answerLimitMs: number = ANSWER_LIMIT_MS, ca?: string) {
        this.#port = port;
        this.#key = key;
        this.#answerLimitMs = answerLimitMs;
        this.#agent =
            ca === undefined ? new Agent({ keepAlive: true }) : new TlsAgent({ keepAlive: true, ca });
    }

    /** A client that speaks TLS and trusts this certificate only. */
    static overTls(port: number, ca: string, key?: SigningKey): HttpClient {
        return new HttpClient(port, key, ANSWER_LIMIT_MS, ca);
    }

    /** Ends all connections. */
    close(): void {
        this.#agent.destroy();
    }

    get(path: string, options: RequestOptions = {}): Promise<Answer> {
        return this.request('GET', path, options);
    }

    post(path: string, json?: unknown, options: RequestOptions = {}): Promise<Answer> {
        return this.request('POST', path, json === undefined ? options : { ...options, json });
    }

    put(path: string, body: RequestOptions['body'], options: RequestOptions = {}): Promise<Answer> {
        return this.request('PUT', path, body === undefined ? options : { ...options, body });
    }

    delete(path: string, options: RequestOptions = {}): Promise<Answer> {
        return this.request('DELETE', path, options);
    }

    /** Sends a request and reads the whole answer. */
    async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
        const body = options.json === undefined ? options.body : JSON.stringify(options.json);
        const upload = this.open(method, path, {
            ...options,
            headers: {
                ...(options.json === undefined ? {} : { 'content-type': 'application/json' }),
                ...options.headers,
            },
        });
        if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) upload.request.end(body);
        else body.pipe(upload.request);
        return upload.answer;
    }

    /** Starts a request whose body the caller writes to `request`. */
    open(method: string, path: string, options: RequestOptions = {}): OpenUpload {
        const outgoing = this.#start(method, path, options);
        const answer = new Promise<Answer>((resolve, reject) => {
            let answered = false;
            outgoing.once('response', (message) => {
                answered = true;
                readAll(message).then(resolve, reject);
            });
            // After an early answer the server may close while the body is still being written.
            outgoing.on('error', (error) => (answered ? undefined : reject(error)));
        });
        const continued = new Promise<boolean>((resolve) => {
            outgoing.once('continue', () => resolve(true));
            outgoing.once('response', () => resolve(false));
            outgoing.once('error', () => resolve(false));
        });
        // The caller may never look at it, e.g. after destroying the request on purpose.
        answer.catch(() => undefined);
        return { request: outgoing, answer, continued };
    }

    /** Starts a download and gives the answer unread, so that the caller sets the pace. */
    async download(path: string, options: RequestOptions = {}, method = 'GET'): Promise<IncomingMessage> {
        const outgoing = this.#start(method, path, options);
        const message = new Promise<IncomingMessage>((resolve, reject) => {
            outgoing.once('response', resolve);
            outgoing.once('error', reject);
        });
        outgoing.end();
        return message;
    }

    #start(method: string, path: string, options: RequestOptions): ClientRequest {
        const signed = this.#key !== undefined && options.sign !== false ? signatureHeaders(this.#key) : {};
        return request({
            protocol: this.#agent instanceof TlsAgent ? 'https:' : 'http:',
            host: '127.0.0.1',
            port: this.#port,
            method,
            path,
            agent: this.#agent,
            headers: { ...signed, ...options.headers },
        }).setTimeout(this.#answerLimitMs, function onIdle(this: ClientRequest) {
            this.destroy(new Error(`no answer to ${method} ${path}`));
        });
    }
}

/** Writes raw bytes to a port and gives everything that comes back until the server closes (at most 10 s). */
export async function rawExchange(port: number, bytes: string | Buffer): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(10_000, () => socket.destroy(new Error('the server does not close')));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    await new Promise<void>((resolve, reject) => {
        socket.once('close', () => resolve());
        socket.once('error', (error) => (text === '' ? reject(error) : resolve()));
        socket.write(bytes);
    });
    return text;
}
