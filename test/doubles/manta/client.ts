import bunyan from 'bunyan';
import { once, type EventEmitter } from 'node:events';
import type { Agent, IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { Readable, type Readable as ReadableStream } from 'node:stream';
import { buffer } from 'node:stream/consumers';

type Callback = (error: Error | null, ...results: readonly unknown[]) => void;

interface RawClient {
    close(): void;
    createListStream(directory: string, options: object): ReadableStream;
    [method: string]: unknown;
}

const { createClient } = createRequire(import.meta.url)('manta') as {
    createClient: (options: object) => RawClient;
};

/** What the client library needs to know. */
export interface MantaClientOptions {
    readonly url: string;
    readonly user: string;
    /** File with the private key. */
    readonly key: string;
    readonly keyId: string;
    readonly insecure?: boolean;
    readonly agent?: Agent | false;
}

/** What a HEAD tells. */
export interface MantaInfo {
    readonly extension?: string;
    readonly type: string;
    readonly etag?: string;
    readonly md5?: string;
    readonly size?: number;
    readonly headers: Readonly<Record<string, string>>;
}

/** An entry of a listing. */
export interface MantaListed {
    readonly name: string;
    readonly type: 'object' | 'directory';
    readonly parent: string;
    readonly etag?: string;
    readonly size?: number;
    readonly mtime: string;
    readonly durability?: number;
}

/** The real client library of Manta, with promises and without retries. */
export class MantaClient {
    readonly #client: RawClient;

    constructor({ url, user, key, keyId, insecure = false, agent }: MantaClientOptions) {
        this.#client = createClient({
            url,
            user,
            sign: { key, keyId },
            rejectUnauthorized: !insecure,
            retry: false,
            ...(agent !== undefined && { agent }),
            log: bunyan.createLogger({ name: 'manta', streams: [] }),
        });
    }

    /** Calls a method of the library that takes a callback; resolves to all it is called with. */
    call(method: string, ...args: readonly unknown[]): Promise<readonly unknown[]> {
        return new Promise((resolve, reject) => {
            const callback: Callback = (error, ...results) => {
                if (error) reject(error);
                else resolve(results);
            };
            const call = this.#client[method] as (...all: unknown[]) => void;
            call.apply(this.#client, [...args, callback]);
        });
    }

    /** Puts bytes or a stream; resolves to the answer. */
    async put(path: string, body: Buffer | ReadableStream, options: object = {}): Promise<IncomingMessage> {
        const isBuffer = Buffer.isBuffer(body);
        const input = isBuffer ? Readable.from(body.length === 0 ? [] : [body], { objectMode: false }) : body;
        const size = isBuffer ? { size: body.length } : {};
        const [response] = await this.call('put', path, input, { ...size, ...options });
        return response as IncomingMessage;
    }

    /** A stream of an object, and the answer it is in. */
    get(
        path: string,
        options: object = {},
    ): Promise<{ readonly stream: ReadableStream; readonly response: IncomingMessage }> {
        return new Promise((resolve, reject) => {
            const callback = (
                error: Error | null,
                stream: ReadableStream,
                response: IncomingMessage,
            ): void => {
                if (error) {
                    reject(error);
                    return;
                }
                // The library may tell of an error before a promise does, and does not end the stream with it.
                stream.on('error', (failure) => stream.destroy(failure));
                resolve({ stream, response });
            };
            const get = this.#client['get'] as (...all: unknown[]) => void;
            get.call(this.#client, path, options, callback);
        });
    }

    async read(path: string, options: object = {}): Promise<Buffer> {
        return buffer((await this.get(path, options)).stream);
    }

    async info(path: string, options: object = {}): Promise<MantaInfo> {
        const [info] = await this.call('info', path, options);
        return info as MantaInfo;
    }

    /** What is in a directory, by way of `createListStream`. */
    async list(directory: string, options: object = {}): Promise<readonly MantaListed[]> {
        const stream = this.#client.createListStream(directory, options);
        const entries: MantaListed[] = [];
        for await (const entry of stream) entries.push(entry as MantaListed);
        return entries;
    }

    /** What is in a directory, by way of `ls`. */
    async ls(directory: string, options: object = {}): Promise<readonly MantaListed[]> {
        const [emitter] = (await this.call('ls', directory, options)) as [EventEmitter];
        const entries: MantaListed[] = [];
        emitter.on('entry', (entry: MantaListed) => entries.push(entry));
        await once(emitter, 'end');
        return entries;
    }

    close(): void {
        this.#client.close();
    }
}
