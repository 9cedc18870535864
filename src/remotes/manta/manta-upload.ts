import { Readable, type Writable } from 'node:stream';
import type { MantaClient } from 'manta';
import { type ApiError, internalError } from '../../base/errors.js';
import { TookTooLong } from '../../base/within.js';
import { MAX_IMAGE_SIZE } from '../../base/constants.js';
import type { ObjectFacts, ObjectUpload, PutOptions } from '../object-store.js';
import type { CallHeaders, MantaCall } from './manta-call.js';
import type { MantaConnection, StartedCall } from './manta-connection.js';
import { mantaFailure, unexpected } from './manta-failure.js';

/**
 * What the Manta client believes to be the source of an object. It asks for the bytes by `pipe`, once
 * the store wants them; from then on they are written to the request directly, so that each piece is
 * known to have gone before its memory is used again.
 */
class UploadSource extends Readable {
    readonly #onWanted: (sink: Writable) => void;

    constructor(onWanted: (sink: Writable) => void) {
        super();
        this.#onWanted = onWanted;
    }

    override pipe<T extends NodeJS.WritableStream>(sink: T): T {
        this.#onWanted(sink as unknown as Writable);
        return sink;
    }

    override _read(): void {
        // Nothing ever comes this way.
    }
}

/** How an upload ended: with what the store has, or why it has nothing. */
type Outcome = { readonly facts: Partial<ObjectFacts> } | { readonly error: unknown };

/** An upload whose bytes the store wants. */
interface Wanted {
    readonly sink: Writable;
    readonly outcome: OutcomeKeeper;
}

/** The first outcome that is told, for one listener at a time. */
class OutcomeKeeper {
    #outcome: Outcome | undefined;
    #listener: (outcome: Outcome) => void = () => undefined;

    settle(outcome: Outcome): void {
        if (this.#outcome === undefined) {
            this.#outcome = outcome;
            this.#listener(outcome);
        }
    }

    /** Whether the store says that it has the object. */
    get isStored(): boolean {
        return this.#outcome !== undefined && 'facts' in this.#outcome;
    }

    /** Replaces the listener; it is told at once what is known. */
    listen(listener: (outcome: Outcome) => void): void {
        this.#listener = listener;
        if (this.#outcome !== undefined) {
            listener(this.#outcome);
        }
    }
}

/** Has the client store what comes from `source`. */
function putObject(
    client: MantaClient,
    path: string,
    source: UploadSource,
    headers: CallHeaders,
    options: PutOptions,
    outcome: OutcomeKeeper,
): void {
    const { contentType, md5 } = options;
    // No bytes would be all bytes from the start, and be there before they are wanted.
    const size = options.size === 0 ? undefined : options.size;
    // What the store allows else is less than the largest image.
    const limit = size === undefined ? { 'max-content-length': String(MAX_IMAGE_SIZE) } : {};
    client.put(
        path,
        source,
        {
            type: contentType,
            ...(size === undefined ? {} : { size }),
            ...(md5 === undefined ? {} : { md5 }),
            headers: { ...headers, ...conditionHeaders(options), ...limit },
        },
        (refused, response) => {
            const error = refused ?? unexpected(response);
            outcome.settle(error === undefined ? { facts: storedFacts(response?.headers) } : { error });
        },
    );
}

function early(): ApiError {
    return internalError('the store answered before the end of the object');
}

/** An object on its way to Manta. */
export class MantaUpload implements ObjectUpload {
    readonly #sink: Writable;
    readonly #outcome: OutcomeKeeper;
    readonly #call: MantaCall;
    readonly #stallMs: number;

    readonly #signal: AbortSignal | undefined;
    /** Whether the store knows by itself which byte is the last. */
    readonly #isMeasured: boolean;

    private constructor(
        { result, call }: StartedCall<Wanted>,
        stallMs: number,
        { signal, size = 0 }: PutOptions,
    ) {
        this.#sink = result.sink;
        this.#outcome = result.outcome;
        this.#call = call;
        this.#stallMs = stallMs;
        this.#signal = signal;
        this.#isMeasured = size > 0;
        const onAbort = (): void => call.break(signal?.reason as Error);
        signal?.addEventListener('abort', onAbort);
        this.#sink.once('close', () => signal?.removeEventListener('abort', onAbort));
        this.#rest();
    }

    /** Resolves when the store wants the bytes. @throws as {@link ObjectStore} says */
    static async start(connection: MantaConnection, path: string, options: PutOptions): Promise<MantaUpload> {
        const { signal } = options;
        const started = await connection.start<Wanted>((client, call, done) => {
            const outcome = new OutcomeKeeper();
            call.onBroken = (error) => outcome.settle({ error });
            outcome.listen((ended) => {
                const error = 'error' in ended ? ended.error : new Error('the store asked for no bytes');
                done(error, undefined as never);
            });
            const source = new UploadSource((sink) => done(null, { sink, outcome }));
            putObject(client, path, source, call.headers, options, outcome);
        }, signal);
        return new MantaUpload(started, connection.limits.stall, options);
    }

    async write(chunk: Buffer): Promise<void> {
        if (chunk.length === 0) {
            return;
        }
        await this.#bounded<undefined>((resolve, reject) => {
            this.#outcome.listen((ended) => {
                reject('error' in ended ? ended.error : early());
            });
            this.#sink.write(chunk, (error) => {
                // What the store says is why it failed; what the connection says is only that it did.
                if (error === null || error === undefined) {
                    resolve(undefined);
                }
            });
        });
    }

    async end(): Promise<Partial<ObjectFacts>> {
        if (!this.#isMeasured && this.#outcome.isStored) {
            await this.abort();
            throw early();
        }
        return this.#bounded((resolve, reject) => {
            this.#outcome.listen((ended) => {
                if ('error' in ended) {
                    reject(ended.error);
                } else {
                    resolve(ended.facts);
                }
            });
            this.#sink.end();
        });
    }

    abort(): Promise<void> {
        this.#call.break(new Error('upload given up'));
        return Promise.resolve();
    }

    /** Nobody waits: what the store says is kept, and a refusal must not keep the connection. */
    #rest(): void {
        this.#outcome.listen((ended) => {
            if ('error' in ended) {
                this.#call.end();
            }
        });
    }

    async #bounded<T>(
        begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    ): Promise<T> {
        let timer: NodeJS.Timeout | undefined;
        try {
            return await new Promise<T>((resolve, reject) => {
                timer = setTimeout(() => reject(new TookTooLong(this.#stallMs)), this.#stallMs);
                begin(resolve, reject);
            });
        } catch (error) {
            this.#call.end();
            throw this.#signal?.aborted === true ? this.#signal.reason : mantaFailure(error);
        } finally {
            clearTimeout(timer);
            this.#rest();
        }
    }
}

/** The headers of a conditional put. */
export function conditionHeaders({
    ifMatch,
    ifNew,
}: Pick<PutOptions, 'ifMatch' | 'ifNew'>): Readonly<Record<string, string>> {
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
