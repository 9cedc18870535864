import { validateHeaderValue } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import bunyan from 'bunyan';
import manta from 'manta';
import type { MantaClient } from 'manta';
import type { MantaConfig } from '../../base/config-types.js';
import { systemErrorCode } from '../../base/errors.js';
import { TookTooLong } from '../../base/within.js';
import { mantaOrigin } from './manta-url.js';
import { MantaAgent } from './manta-agent.js';
import type { MantaCall } from './manta-call.js';
import { mantaFailure, mayPass } from './manta-failure.js';
import { algorithmFor } from './manta-key.js';

/** How long things may take, milliseconds (README table D). */
export interface MantaLimits {
    /** A connection, the wait for a free place among them included. */
    readonly connect: number;
    /** A call that moves no file, tries included. */
    readonly call: number;
    /** Until an object begins to come, or is wanted, tries included. */
    readonly headers: number;
    /** Without a byte going on while somebody waits for it. */
    readonly stall: number;
}

const LIMITS: MantaLimits = { connect: 10_000, call: 15_000, headers: 30_000, stall: 60_000 };
/** How often what may be repeated is tried (backends 8). */
const TRIES = 3;
/** Pause before the second try, milliseconds; each further one takes twice as long. */
const RETRY_PAUSE_MS = 100;
/** Connections for calls that move no file, at most. */
const MAX_FOR_CALLS = 10;
/** Connections for files, at least: a copy takes two. */
const MIN_FOR_FILES = 2;

type Done<T> = (error: unknown, result: T) => void;

/** A call of the Manta client: starts it, and has it call back. */
export type Begin<T> = (client: MantaClient, call: MantaCall, done: Done<T>) => void;

/** A call whose request goes on after its first result. */
export interface StartedCall<T> {
    readonly result: T;
    readonly call: MantaCall;
}

/** A client and its connections. */
interface Client {
    readonly client: MantaClient;
    readonly agent: MantaAgent;
}

/** How a call is bounded. */
interface Bounds {
    /** Ends the call; its reason is thrown. */
    readonly signal: AbortSignal | undefined;
    /** When it must be over, on the clock of `performance`. */
    readonly deadline: number;
}

/** What a {@link MantaConnection} is made from. */
export interface MantaConnectionOptions {
    readonly manta: MantaConfig;
    /** Text of the private key. */
    readonly key: string;
    /** Three are used in any case. */
    readonly maxSockets: number;
    readonly userAgent: string;
    /** For tests. */
    readonly limits?: Partial<MantaLimits>;
}

/**
 * The Manta client with a bound on every call. Files and everything else have connections of their
 * own, so that a hundred slow uploads do not keep the server from removing an object.
 */
export class MantaConnection {
    readonly limits: MantaLimits;
    /** Connections for files. */
    readonly fileSockets: number;
    readonly #calls: Client;
    readonly #files: Client;

    constructor(options: MantaConnectionOptions) {
        const { maxSockets } = options;
        this.limits = { ...LIMITS, ...options.limits };
        const forCalls = Math.max(1, Math.min(MAX_FOR_CALLS, Math.floor(maxSockets / 5)));
        this.fileSockets = Math.max(MIN_FOR_FILES, maxSockets - forCalls);
        this.#calls = connect(options, this.limits, forCalls);
        this.#files = connect(options, this.limits, this.fileSockets);
    }

    /** One call that moves no file. @throws as {@link mantaFailure} says */
    async call<T>(begin: Begin<T>, signal?: AbortSignal): Promise<T> {
        return (await once(this.#calls, begin, this.#bounds(this.limits.call, signal))).result;
    }

    /** A call that may be repeated, because it changes nothing or always the same. @throws as {@link call} */
    async repeatable<T>(begin: Begin<T>, signal?: AbortSignal): Promise<T> {
        return (await repeated(this.#calls, begin, this.#bounds(this.limits.call, signal))).result;
    }

    /** As {@link call}, for what moves a file: its request is the caller's to end. */
    async start<T>(begin: Begin<T>, signal?: AbortSignal): Promise<StartedCall<T>> {
        return once(this.#files, begin, this.#bounds(this.limits.headers, signal));
    }

    /** As {@link start}, for what may be repeated until its first result. */
    async startRepeatable<T>(begin: Begin<T>, signal?: AbortSignal): Promise<StartedCall<T>> {
        return repeated(this.#files, begin, this.#bounds(this.limits.headers, signal));
    }

    /** Ends all calls that move no file; none follow. */
    endCalls(): void {
        this.#calls.agent.close();
    }

    /** Ends all calls and connections. */
    close(): void {
        this.endCalls();
        this.#files.agent.close();
    }

    #bounds(limitMs: number, signal: AbortSignal | undefined): Bounds {
        return { signal, deadline: performance.now() + limitMs };
    }
}

/** A connection was closed before an answer came, and had been used before. */
class StaleConnectionError extends Error {}

function connect(
    { manta: { url, user, insecure = false }, key, userAgent }: MantaConnectionOptions,
    limits: MantaLimits,
    maxSockets: number,
): Client {
    // Else each call would throw where nobody can catch it.
    validateHeaderValue('user-agent', userAgent);
    const origin = mantaOrigin(url);
    const agent = new MantaAgent({
        isTls: origin.startsWith('https:'),
        insecure,
        maxSockets,
        userAgent,
    });
    const client = manta.createClient({
        url: origin,
        user,
        sign: manta.privateKeySigner({ key, user, ...algorithmFor(key) }),
        // The client tells every call, which is far too much even for debugging. All loggers of the
        // server share one level, so this one cannot be a child of theirs.
        log: bunyan.createLogger({ name: 'manta', streams: [] }),
        connectTimeout: limits.connect,
        retry: false,
        agent: agent.agent,
        rejectUnauthorized: !insecure,
    });
    return { client, agent };
}

async function repeated<T>(on: Client, begin: Begin<T>, bounds: Bounds): Promise<StartedCall<T>> {
    const { signal, deadline } = bounds;
    for (let tries = 1; ; tries += 1) {
        try {
            return await once(on, begin, bounds);
        } catch (error) {
            const wait = RETRY_PAUSE_MS * 2 ** (tries - 1);
            const mayRepeat = mayPass(error) && signal?.aborted !== true;
            if (!mayRepeat || tries === TRIES || performance.now() + wait >= deadline) {
                throw error;
            }
            await pause(wait);
        }
    }
}

/** A connection that was kept open may have been closed at the other end just now: then once more, over a new one. */
async function once<T>(on: Client, begin: Begin<T>, bounds: Bounds): Promise<StartedCall<T>> {
    try {
        return await attempt(on, begin, bounds);
    } catch (error) {
        if (!(error instanceof StaleConnectionError)) {
            throw error;
        }
        on.agent.dropIdle();
        return await attempt(on, begin, bounds).catch((again: unknown) => {
            throw again instanceof StaleConnectionError ? mantaFailure(again.cause) : again;
        });
    }
}

function isHungUp(error: unknown): boolean {
    const code = systemErrorCode(error);
    return code === 'ECONNRESET' || code === 'EPIPE';
}

/** Begins a call and waits for its first result; whatever ends the wait otherwise ends the request. */
async function attempt<T>(
    { client, agent }: Client,
    begin: Begin<T>,
    { signal, deadline }: Bounds,
): Promise<StartedCall<T>> {
    signal?.throwIfAborted();
    const limitMs = Math.max(1, deadline - performance.now());
    const call = agent.start();
    let onAbort: (() => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
        const result = await new Promise<T>((resolve, reject) => {
            const fail = (error: unknown): void => {
                const isStale = isHungUp(error) && call.wasReused;
                reject(
                    isStale
                        ? new StaleConnectionError('connection closed', { cause: error })
                        : mantaFailure(error),
                );
            };
            call.onBroken = fail;
            onAbort = () => reject(signal?.reason as Error);
            signal?.addEventListener('abort', onAbort);
            timer = setTimeout(() => {
                agent.dropIdle();
                fail(new TookTooLong(limitMs));
            }, limitMs);
            begin(client, call, (error, value) => {
                if (error === null || error === undefined) {
                    resolve(value);
                } else {
                    fail(error);
                }
            });
        });
        return { result, call };
    } catch (error) {
        // Also after a refusal: a request whose body was not wanted would keep its connection.
        call.end();
        agent.forget(call);
        throw error;
    } finally {
        clearTimeout(timer);
        if (onAbort !== undefined) {
            signal?.removeEventListener('abort', onAbort);
        }
    }
}
