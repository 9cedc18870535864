import { Readable, type Writable } from 'node:stream';
import type { MantaClient } from 'manta';
import { internalError } from '../../base/errors.js';
import { TookTooLong } from '../../base/within.js';
import { MAX_IMAGE_SIZE } from '../../base/constants.js';
import type { ObjectFacts, ObjectUpload, PutOptions } from '../object-store.js';
import type { CallHeaders, MantaConnection, StartedCall } from './manta-connection.js';
import { mantaFailure } from './manta-failure.js';

/** Longest wait until the store wants the bytes, milliseconds (README table D). */
const CONTINUE_TIMEOUT_MS = 30_000;
/** Longest time that the store may take for a piece, or at the end for making all safe, milliseconds (README table D). */
const STALL_TIMEOUT_MS = 60_000;

/**
 * What the Manta client believes to be the source of an object. It asks for the bytes by `pipe`, once
 * the store wants them; from then on they are written to the request directly, so that each piece is
 * known to have gone before its memory is used again.
 */
class UploadSource extends Readable {
    readonly sink: Promise<Writable>;
    #wanted: (sink: Writable) => void = () => undefined;

    constructor() {
        super();
        this.sink = new Promise((resolve) => {
            this.#wanted = resolve;
        });
    }

    override pipe<T extends NodeJS.WritableStream>(sink: T): T {
        this.#wanted(sink as unknown as Writable);
        return sink;
    }

    override _read(): void {
        // Nothing ever comes this way.
    }
}

/** An upload that the store wants. */
interface Begun {
    readonly sink: Writable;
    /** The client's last word. */
    readonly outcome: Promise<Partial<ObjectFacts>>;
}

/** Has the client store what comes from `source`. @throws as {@link mantaFailure} says */
function putObject(
    client: MantaClient,
    path: string,
    source: UploadSource,
    headers: CallHeaders,
    options: PutOptions,
): Promise<Partial<ObjectFacts>> {
    const { contentType, size, md5 } = options;
    // What the store allows else is less than the largest image.
    const limit = size === undefined ? { 'max-content-length': String(MAX_IMAGE_SIZE) } : {};
    return new Promise((resolve, reject) => {
        client.put(
            path,
            source,
            {
                type: contentType,
                ...(size === undefined ? {} : { size }),
                ...(md5 === undefined ? {} : { md5 }),
                headers: { ...headers, ...conditionHeaders(options), ...limit },
            },
            (error, response) => {
                if (error === null || error === undefined) {
                    resolve(storedFacts(response?.headers));
                } else {
                    reject(mantaFailure(error));
                }
            },
        );
    });
}

/** An object on its way to Manta. */
export class MantaUpload implements ObjectUpload {
    readonly #sink: Writable;
    readonly #outcome: Promise<Partial<ObjectFacts>>;
    readonly #end: (error?: Error) => void;
    readonly #stallMs: number;

    private constructor(started: StartedCall<Begun>, stallMs: number) {
        this.#sink = started.result.sink;
        this.#outcome = started.result.outcome;
        this.#end = started.end;
        this.#stallMs = stallMs;
        // A write that comes after it was cut off says so by itself.
        this.#outcome.catch(() => undefined);
        this.#sink.on('error', () => undefined);
    }

    /** Resolves when the store wants the bytes. @throws as {@link ObjectStore} says */
    static async start(
        connection: MantaConnection,
        path: string,
        options: PutOptions,
        stallMs: number = STALL_TIMEOUT_MS,
    ): Promise<MantaUpload> {
        const started = await connection.start<Begun>(
            (client, headers, done) => {
                const source = new UploadSource();
                const outcome = putObject(client, path, source, headers, options);
                outcome.catch((error: unknown) => done(error, undefined as never));
                void source.sink.then((sink) => done(null, { sink, outcome }));
            },
            { signal: options.signal, timeoutMs: CONTINUE_TIMEOUT_MS },
        );
        return new MantaUpload(started, stallMs);
    }

    async write(chunk: Buffer): Promise<void> {
        if (chunk.length === 0) {
            return;
        }
        await this.#bounded(
            new Promise<void>((resolve, reject) => {
                this.#sink.write(chunk, (error) => {
                    if (error === null || error === undefined) {
                        resolve();
                    } else {
                        reject(error);
                    }
                });
            }),
        );
    }

    async end(): Promise<Partial<ObjectFacts>> {
        this.#sink.end();
        return this.#bounded(this.#outcome);
    }

    abort(): Promise<void> {
        this.#end(new Error('upload given up'));
        return Promise.resolve();
    }

    /** What the store says before the end is why it failed; what the connection says is only that it did. */
    async #bounded<T>(work: Promise<T>): Promise<T> {
        let timer: NodeJS.Timeout | undefined;
        const cutShort = this.#outcome.then(() => {
            throw internalError('the store answered before the end of the object');
        });
        const stalled = new Promise<never>((_resolve, reject) => {
            timer = setTimeout(() => {
                const error = new TookTooLong(this.#stallMs);
                this.#end(error);
                reject(error);
            }, this.#stallMs);
        });
        try {
            return await Promise.race([work, ...(work === this.#outcome ? [] : [cutShort]), stalled]);
        } catch (error) {
            this.#end();
            throw mantaFailure(error);
        } finally {
            clearTimeout(timer);
            cutShort.catch(() => undefined);
        }
    }
}

/** The headers of a conditional put. */
export function conditionHeaders({ ifMatch, ifNew }: PutOptions): Readonly<Record<string, string>> {
    return {
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
        ...(ifNew === true ? { 'if-none-match': '*' } : {}),
    };
}

/** What Manta says it has stored. */
export function storedFacts(headers: Readonly<Record<string, unknown>> = {}): Partial<ObjectFacts> {
    const md5 = headers['computed-md5'] ?? headers['content-md5'];
    const { etag } = headers;
    return {
        ...(typeof md5 === 'string' ? { md5 } : {}),
        ...(typeof etag === 'string' ? { etag } : {}),
    };
}
