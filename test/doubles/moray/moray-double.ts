import { once, type EventEmitter } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Gate } from '../gate.js';
import { batchCall } from './batch-call.js';
import { bucketCalls } from './bucket-calls.js';
import type { Procedures } from './calls.js';
import { requireBucket } from './arguments.js';
import { put } from './changes.js';
import { serveFast } from './fast.js';
import type { FastRequest } from './fast.js';
import { Faults } from './faults.js';
import type { BreakPoint } from './faults.js';
import { MemoryStore } from './memory-store.js';
import { databaseRefused, MorayError } from './moray-error.js';
import { ObjectCache } from './object-cache.js';
import { objectOf } from './objects.js';
import type { MorayObject } from './objects.js';
import { objectCalls } from './object-calls.js';
import { serverCalls } from './server-calls.js';
import type { Store } from './store.js';

const PROCEDURES: Procedures = { ...bucketCalls, ...objectCalls, ...batchCall, ...serverCalls };

/** How to start a double; everything is optional. */
export interface MorayDoubleOptions {
    /** Port of 127.0.0.1; by default a free one. */
    readonly port?: number;
    /** Where buckets are kept; by default in memory. */
    readonly store?: Store;
}

/** An error that was answered. */
export interface Refusal {
    readonly method: string;
    readonly name: string;
    readonly message: string;
}

const MAX_REFUSALS = 100_000;

/**
 * A Moray for tests: speaks the wire protocol of the real one on a port of 127.0.0.1, keeps buckets in
 * memory or in PostgreSQL, and can be told to misbehave.
 */
export class MorayDouble {
    readonly #store: Store;
    readonly #faults = new Faults();
    readonly #cache = new ObjectCache();
    readonly #sockets = new Set<Socket>();
    readonly #counts = new Map<string, number>();
    readonly #refusals: Refusal[] = [];
    #listener: Server | undefined;
    #port = 0;
    #callsLeft = 0;
    #atCall = (): void => undefined;

    private constructor(store: Store) {
        this.#store = store;
    }

    static async start(options: MorayDoubleOptions = {}): Promise<MorayDouble> {
        const double = new MorayDouble(options.store ?? new MemoryStore());
        await double.restart(options.port ?? 0);
        return double;
    }

    /** Port it listens on, or last listened on. */
    get port(): number {
        return this.#port;
    }

    /** Connections that are open now. */
    get connections(): number {
        return this.#sockets.size;
    }

    /** Listens again after `stop`, with the data of before, on the same port unless told another. */
    async restart(port: number = this.#port): Promise<void> {
        if (this.#listener !== undefined) throw new Error('the double runs already');
        await this.#store.open();
        const listener = createServer({ noDelay: true }, (socket) => this.#accept(socket));
        listener.listen(port, '127.0.0.1');
        await once(listener, 'listening');
        const address = listener.address();
        if (address === null || typeof address === 'string') throw new Error('no port');
        this.#port = address.port;
        this.#listener = listener;
    }

    /** Stops listening, breaks off all connections and ends all faults; the data stays. */
    async stop(): Promise<void> {
        const listener = this.#listener;
        if (listener === undefined) return;
        this.#listener = undefined;
        const sockets = [...this.#sockets];
        const closed = [listener, ...sockets].map(
            (emitter: EventEmitter) => new Promise((resolve) => emitter.once('close', resolve)),
        );
        listener.close();
        this.breakConnections();
        this.#faults.clear();
        await Promise.all(closed);
        this.#cache.clear();
        await this.#store.close();
    }

    /** Breaks off all connections at once; new ones are accepted. */
    breakConnections(): void {
        for (const socket of this.#sockets) socket.destroy(new Error('broken off'));
    }

    /** Calls received so far, by method, and `total`. */
    get rpcCounts(): Readonly<Record<string, number>> & { readonly total: number } {
        const counts = Object.fromEntries(this.#counts);
        return { ...counts, total: [...this.#counts.values()].reduce((sum, count) => sum + count, 0) };
    }

    resetRpcCounts(): void {
        this.#counts.clear();
    }

    /** Errors that were answered, the latest ones, in order. */
    get refusals(): readonly Refusal[] {
        return this.#refusals;
    }

    /** Calls of getObject that would have been content with an old copy (no `noCache`). */
    get cachedReads(): number {
        return this.#cache.reads;
    }

    /** Answers calls (of this method) this many ms later; 0 ends it. */
    delay(ms: number, method?: string): void {
        this.#faults.delay(ms, method);
    }

    /** Answers the next `times` calls (of this method) with an error of this name, without doing them. */
    refuse(name: string, times: number, method?: string, context?: Readonly<Record<string, unknown>>): void {
        this.#faults.refuse(name, times, method, context);
    }

    /** Breaks the connection of the next `times` calls off, before or after the change was made. */
    breakOff(method: string | undefined, times: number, when: BreakPoint): void {
        this.#faults.breakOff(method, times, when);
    }

    /** Does something when the `nth` call from now on has come in, counted from 1, before it is looked at. */
    atCall(nth: number, act: () => void): void {
        this.#callsLeft = nth;
        this.#atCall = act;
    }

    /** Never answers the next `times` calls, and does nothing for them. */
    hang(method: string | undefined, times: number): void {
        this.#faults.hang(method, times);
    }

    /** Holds calls of this method back until `resume` of the gate. */
    pauseMethod(method: string): Gate {
        return this.#faults.pause(method);
    }

    /** From now on every call that needs the database answers NoDatabasePeersError. */
    loseDatabase(): void {
        this.#faults.loseDatabase();
    }

    restoreDatabase(): void {
        this.#faults.restoreDatabase();
    }

    /** Ends all faults and opens all gates. */
    clearFaults(): void {
        this.#faults.clear();
    }

    /** All objects of a bucket, in order of their keys, as a client would read them. */
    async rows(bucketName: string): Promise<readonly MorayObject[]> {
        return this.#store.run(async (transaction) => {
            const bucket = await requireBucket(transaction, bucketName);
            const { rows } = await transaction.select(bucket, {
                where: { op: 'present', column: '_key' },
                sort: [{ column: '_key', descending: false }],
                offset: 0,
                count: false,
            });
            return rows.map((row) => objectOf(bucket, row));
        }, 'read');
    }

    /** Stores a value behind the clients' backs, whatever is there; resolves to its etag. */
    async putRaw(bucketName: string, key: string, value: Readonly<Record<string, unknown>>): Promise<string> {
        return this.#store.run(async (transaction) =>
            put(transaction, await requireBucket(transaction, bucketName), key, value, undefined),
        );
    }

    #accept(socket: Socket): void {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        serveFast(socket, Object.keys(PROCEDURES), (method, request) => {
            this.#counts.set(method, (this.#counts.get(method) ?? 0) + 1);
            this.#callsLeft -= 1;
            if (this.#callsLeft === 0) this.#atCall();
            void this.#answer(socket, method, request);
        });
    }

    async #answer(socket: Socket, method: string, request: FastRequest): Promise<void> {
        try {
            const fate = await this.#faults.decide(method, request.argv());
            if (fate.kind === 'hang') return;
            const before = fate.kind === 'break' && fate.when === 'before';
            const messages = before ? [] : await this.#call(method, request.argv());
            if (fate.kind === 'break') socket.destroy(new Error('broken off'));
            else if (!socket.destroyed) send(request, messages);
        } catch (error) {
            const refusal = asMorayError(error);
            this.#refusals.push({ method, name: refusal.name, message: refusal.message });
            if (this.#refusals.length > MAX_REFUSALS) this.#refusals.shift();
            if (!socket.destroyed) request.fail(refusal);
        }
    }

    #call(method: string, args: readonly unknown[]): Promise<readonly object[]> {
        const procedure = PROCEDURES[method];
        if (procedure === undefined) throw new Error(`no procedure ${method}`);
        return procedure({ store: this.#store, cache: this.#cache }, args);
    }
}

/** Sends an answer; it is in memory already, so there is nothing to gain from waiting for the client. */
function send(request: FastRequest, messages: readonly object[]): void {
    for (const message of messages) request.write(message);
    request.end();
}

function asMorayError(error: unknown): MorayError {
    if (error instanceof MorayError) return error;
    return databaseRefused(error instanceof Error ? error.message : String(error));
}
