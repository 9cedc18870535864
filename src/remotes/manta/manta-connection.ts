import { setTimeout as pause } from 'node:timers/promises';
import bunyan from 'bunyan';
import manta from 'manta';
import type { MantaClient } from 'manta';
import type { MantaConfig } from '../../base/config-types.js';
import { systemErrorCode } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import { TookTooLong } from '../../base/within.js';
import { CALL_ID, MantaAgent } from './manta-agent.js';
import { isDown, mantaFailure } from './manta-failure.js';

/** Longest wait for a connection, a free place among them included, milliseconds (README table D). */
const CONNECT_TIMEOUT_MS = 10_000;
/** Longest time for a call that moves no file, tries included, milliseconds (README table D). */
const CALL_TIMEOUT_MS = 15_000;
/** How often what may be repeated is tried (backends 8). */
const TRIES = 3;
/** Pause before the second try, milliseconds; each further one takes twice as long. */
const RETRY_PAUSE_MS = 100;

/** Headers by which a call's request is found, for the client to send. */
export type CallHeaders = Readonly<Record<string, string>>;

type Done<T> = (error: unknown, result: T) => void;

/** A call of the Manta client: starts it, and has it call back. */
export type Begin<T> = (client: MantaClient, headers: CallHeaders, done: Done<T>) => void;

/** A call whose request goes on after its first result. */
export interface StartedCall<T> {
    readonly result: T;
    /** Ends the request, however far it is. */
    readonly end: (error?: Error) => void;
}

/** A client and its connections. */
interface Client {
    readonly client: MantaClient;
    readonly agent: MantaAgent;
}

/** How a call is bounded. */
export interface CallLimits {
    /** Ends the call; its reason is thrown. */
    readonly signal?: AbortSignal | undefined;
    /** Milliseconds. */
    readonly timeoutMs?: number;
}

/** What a {@link MantaConnection} is made from. */
export interface MantaConnectionOptions {
    readonly manta: MantaConfig;
    /** Text of the private key. */
    readonly key: string;
    readonly maxSockets: number;
    readonly userAgent: string;
    /** Longest time for a call that moves no file, milliseconds; for tests. */
    readonly callTimeoutMs?: number;
}

/**
 * The Manta client with a bound on every call. Files and everything else have connections of their
 * own, so that a hundred slow uploads do not keep the server from removing an object.
 */
export class MantaConnection {
    readonly #calls: Client;
    readonly #files: Client;
    readonly #callTimeoutMs: number;

    constructor(options: MantaConnectionOptions) {
        const forCalls = Math.max(1, Math.min(10, Math.floor(options.maxSockets / 5)));
        this.#calls = connect(options, forCalls);
        this.#files = connect(options, Math.max(1, options.maxSockets - forCalls));
        this.#callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    }

    /** One call. @throws as {@link mantaFailure} says */
    async call<T>(begin: Begin<T>, limits: CallLimits = {}): Promise<T> {
        return (await this.#once(this.#calls, begin, limits)).result;
    }

    /** A call that may be repeated, because it changes nothing or always the same. @throws as {@link call} */
    async repeatable<T>(begin: Begin<T>, limits: CallLimits = {}): Promise<T> {
        return (await this.#repeated(this.#calls, begin, limits)).result;
    }

    /** As {@link call}, for what moves a file: its request is the caller's to end. */
    async start<T>(begin: Begin<T>, limits: CallLimits): Promise<StartedCall<T>> {
        return this.#once(this.#files, begin, limits);
    }

    /** As {@link start}, for what may be repeated until its first result. */
    async startRepeatable<T>(begin: Begin<T>, limits: CallLimits): Promise<StartedCall<T>> {
        return this.#repeated(this.#files, begin, limits);
    }

    /** Ends all connections. */
    close(): void {
        this.#calls.agent.close();
        this.#files.agent.close();
    }

    async #repeated<T>(on: Client, begin: Begin<T>, limits: CallLimits): Promise<StartedCall<T>> {
        const end = performance.now() + (limits.timeoutMs ?? this.#callTimeoutMs);
        for (let tries = 1; ; tries += 1) {
            try {
                const timeoutMs = Math.max(1, end - performance.now());
                return await this.#once(on, begin, { ...limits, timeoutMs });
            } catch (error) {
                const wait = RETRY_PAUSE_MS * 2 ** (tries - 1);
                const mayRepeat = isDown(error) && limits.signal?.aborted !== true;
                if (!mayRepeat || tries === TRIES || performance.now() + wait >= end) {
                    throw error;
                }
                await pause(wait);
            }
        }
    }

    /** A connection that was kept open may have been closed at the other end just now: then once more. */
    async #once<T>(on: Client, begin: Begin<T>, limits: CallLimits): Promise<StartedCall<T>> {
        const { signal, timeoutMs = this.#callTimeoutMs } = limits;
        const first = newUuid();
        try {
            return await boundedCall(on, first, begin, signal, timeoutMs);
        } catch (error) {
            if (!(error instanceof StaleConnectionError)) {
                throw error;
            }
            return await boundedCall(on, newUuid(), begin, signal, timeoutMs).catch((again: unknown) => {
                throw again instanceof StaleConnectionError ? mantaFailure(again.cause) : again;
            });
        }
    }
}

/** A connection was closed before an answer came, and had been used before. */
class StaleConnectionError extends Error {}

function connect(
    { manta: { url, user, insecure = false }, key, userAgent }: MantaConnectionOptions,
    maxSockets: number,
): Client {
    const agent = new MantaAgent({ isTls: !url.startsWith('http:'), insecure, maxSockets });
    const client = manta.createClient({
        url,
        user,
        sign: manta.privateKeySigner({ key, user }),
        // The client tells every call, which is far too much even for debugging. All loggers of the
        // server share one level, so this one cannot be a child of theirs.
        log: bunyan.createLogger({ name: 'manta', streams: [] }),
        connectTimeout: CONNECT_TIMEOUT_MS,
        retry: false,
        agent: agent.agent,
        rejectUnauthorized: !insecure,
        headers: { 'user-agent': userAgent },
    });
    return { client, agent };
}

function isHungUp(error: unknown): boolean {
    const code = systemErrorCode(error);
    return code === 'ECONNRESET' || code === 'EPIPE';
}

/** Begins a call and waits for its first result; whatever ends the wait otherwise ends the request. */
async function boundedCall<T>(
    { client, agent }: Client,
    id: string,
    begin: Begin<T>,
    signal: AbortSignal | undefined,
    timeoutMs: number,
): Promise<StartedCall<T>> {
    signal?.throwIfAborted();
    let onAbort: (() => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
        const result = await new Promise<T>((resolve, reject) => {
            onAbort = () => reject(signal?.reason as Error);
            signal?.addEventListener('abort', onAbort);
            timer = setTimeout(() => reject(mantaFailure(new TookTooLong(timeoutMs))), timeoutMs);
            begin(client, { [CALL_ID]: id }, (error, value) => {
                if (error === null || error === undefined) {
                    resolve(value);
                } else {
                    const isStale = isHungUp(error) && agent.wasReused(id);
                    reject(
                        isStale
                            ? new StaleConnectionError('connection closed', { cause: error })
                            : mantaFailure(error),
                    );
                }
            });
        });
        return { result, end: (error) => agent.end(id, error) };
    } catch (error) {
        // Also after a refusal: a request whose body was not wanted would keep its connection.
        agent.end(id);
        throw error;
    } finally {
        clearTimeout(timer);
        if (onAbort !== undefined) {
            signal?.removeEventListener('abort', onAbort);
        }
    }
}
