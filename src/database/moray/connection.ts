import { EventEmitter, once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import bunyan from 'bunyan';
import type Logger from 'bunyan';
import moray from 'moray';
import type { Client, Connection } from 'moray';
import { systemClock } from '../../base/clock.js';
import { Complaints } from '../../base/complaints.js';
import type { Config } from '../../base/config-types.js';
import { within } from '../../base/within.js';
import { Deadline } from './deadline.js';
import { isNamed, NotConnectedError, TimeoutError } from './failures.js';

/** Longest time that a call may take, milliseconds (README table D). */
const CALL_TIMEOUT = 15_000;
/** How long the first calls after the start wait for the first connection, milliseconds. */
const FIRST_CONNECT_WAIT = 1000;
/** Pause between questions whether Moray answers again, milliseconds. */
const PROBE_PAUSE = 100;
/** Longest wait for connections to end, milliseconds. */
const CLOSE_LIMIT = 1000;
/** Connections that are held, and most that there ever are. */
const CONNECTIONS = { target: 6, maximum: 15 };
/** Calls that one connection may have left unanswered before it is given up. */
const MAX_UNANSWERED = 100;
/** Attempts with growing pauses; after that one after each longest pause, for ever. */
const GROWING_ATTEMPTS = 6;

/** Name servers that are asked for the address, where Moray's host is a name; milliseconds. */
const NAME_RECOVERY = { retries: 5, timeout: 1000, maxTimeout: 20_000, delay: 10, maxDelay: 10_000 };

/** What a {@link MorayConnection} is made from. */
export interface MorayConnectionOptions {
    /** `moray` of the configuration. */
    readonly address: NonNullable<Config['moray']>;
    readonly log: Logger;
    /** Longest time that a call may take, milliseconds. */
    readonly callTimeout?: number;
}

type Done = (error: Error | null | undefined, result: unknown) => void;

function clientOptions({ address }: MorayConnectionOptions): Parameters<typeof moray.createClient>[0] {
    const { host, port, connectTimeout = 200, retry } = address;
    const delay = retry === false ? 1000 : (retry?.minTimeout ?? 1000);
    const maxDelay = Math.max(delay, retry === false ? 16_000 : (retry?.maxTimeout ?? 16_000));
    // The client tells every call and every connection, which is far too much even for debugging. All
    // loggers of the server share one level, so this one cannot be a child of theirs.
    const quiet = bunyan.createLogger({ name: 'moray', streams: [] });
    return {
        // Only name servers are asked, which need not know this name.
        host: host === 'localhost' ? '127.0.0.1' : host,
        port,
        log: quiet,
        cueballOptions: {
            ...CONNECTIONS,
            recovery: {
                default: {
                    retries: retry === false ? 1 : GROWING_ATTEMPTS,
                    timeout: Math.max(1, connectTimeout),
                    maxTimeout: Math.max(connectTimeout, 5000),
                    delay,
                    maxDelay,
                },
                dns: NAME_RECOVERY,
                // There are no service records for a host that is given with its port.
                dns_srv: { ...NAME_RECOVERY, retries: 0, timeout: 1, maxTimeout: 1 },
            },
        },
    };
}

/**
 * The way to Moray: holds connections, makes new ones for ever when they break, and bounds how long
 * calls take. Calls reject with the client's errors, see `failures.ts`. Emits `connected` whenever
 * there is a connection again.
 */
export class MorayConnection extends EventEmitter {
    readonly #options: MorayConnectionOptions;
    readonly #log: Logger;
    readonly #callTimeout: number;
    readonly #complaints = new Complaints(systemClock);
    /** Those that are there. */
    readonly #made = new Set<string>();
    /** Those that calls may use. */
    readonly #connections = new Set<string>();
    /** Whether Moray has let a whole connection go without an answer, and has not answered since. */
    #wasSilent = false;
    #client: Client | undefined;
    /** Whether the last that the log was told is that there is a connection. */
    #isToldConnected = false;
    #firstConnect: Promise<void> | undefined;
    #isClosed = false;

    constructor(options: MorayConnectionOptions) {
        super();
        this.setMaxListeners(0);
        this.#options = options;
        this.#callTimeout = options.callTimeout ?? CALL_TIMEOUT;
        this.#log = options.log.child({
            morayClient: true,
            host: options.address.host,
            port: options.address.port,
        });
    }

    /** Whether a call has a chance at this moment. */
    get isConnected(): boolean {
        return this.#connections.size > 0;
    }

    /** The time that one operation, of however many calls, may take. */
    deadline(): Deadline {
        return new Deadline(this.#callTimeout);
    }

    /** Starts to connect, and returns at once. */
    connect(): void {
        if (this.#client !== undefined || this.#isClosed) {
            return;
        }
        const client = moray.createClient(clientOptions(this.#options));
        this.#client = client;
        client.on('error', (error: Error) => this.#warn(error));
        client.cueball.on('added', (key, connection) => {
            this.#watch(connection);
            this.#made.add(key);
            void this.#admit(client, key);
        });
        client.cueball.on('removed', (key) => {
            this.#made.delete(key);
            if (this.#connections.delete(key) && this.#connections.size === 0 && !this.#isClosed) {
                this.#complain('lost all connections to Moray');
            }
        });
        this.#firstConnect = this.#reconnected(FIRST_CONNECT_WAIT).then((isConnected) => {
            this.#firstConnect = undefined;
            if (!isConnected) {
                this.#warn();
            }
        });
    }

    /**
     * Lets calls use a new connection. After one that was silent a new one must answer first: else each
     * call of a queue would wait in vain for as long as a call may take.
     */
    async #admit(client: Client, key: string): Promise<void> {
        while (this.#wasSilent && this.#made.has(key) && !this.#isClosed) {
            if (await this.#answers(client)) {
                this.#wasSilent = false;
            } else {
                await pause(PROBE_PAUSE, undefined, { ref: false });
            }
        }
        if (!this.#made.has(key) || this.#isClosed) {
            return;
        }
        this.#connections.add(key);
        if (this.#connections.size === 1) {
            // What was not complained of gets no all-clear: connections that break again and again are quiet.
            if (!this.#isToldConnected) {
                this.#log.info('connected to Moray');
                this.#isToldConnected = true;
            }
            this.emit('connected');
        }
    }

    /** Whether Moray answers at all, be it with a refusal, within the time of a call. */
    async #answers(client: Client): Promise<boolean> {
        const timeout = this.#callTimeout;
        return new Promise((resolve) => {
            client.ping({ deep: true, timeout }, (error) => {
                resolve(!error || isNamed(error, 'FastServerError'));
            });
        });
    }

    /** Waits for a connection, at most this many milliseconds; tells whether there is one. */
    async reconnected(milliseconds: number): Promise<boolean> {
        return this.#reconnected(milliseconds);
    }

    /** Makes one call. @param start hands the client a function to call with the outcome */
    async call(deadline: Deadline, start: (client: Client, done: Done) => void): Promise<unknown> {
        const client = await this.#ready(deadline);
        return new Promise((resolve, reject) => {
            const onClosed = (): void => end(new NotConnectedError('the connection to Moray is closed'));
            const end = (error: Error | null | undefined): void => {
                clearTimeout(timer);
                this.off('closed', onClosed);
                if (error) {
                    reject(error);
                }
            };
            const timer = setTimeout(
                () => end(new TimeoutError('Moray did not answer in time')),
                deadline.remaining,
            );
            this.once('closed', onClosed);
            start(client, (error, result) => {
                end(error);
                resolve(result);
            });
        });
    }

    /**
     * Makes one call of `findObjects`; resolves to the rows as they came.
     *
     * @throws the signal's reason when aborted; the answer is then read to its end and dropped
     */
    async find(bucket: string, filter: string, options: object, signal?: AbortSignal): Promise<unknown[]> {
        signal?.throwIfAborted();
        let stop: (() => void) | undefined;
        const answer = this.call(this.deadline(), (client, done) => {
            if (signal?.aborted === true) {
                done(signal.reason as Error, undefined);
                return;
            }
            const rows: unknown[] = [];
            const found = client.findObjects(bucket, filter, options);
            found.on('record', (row: unknown) => rows.push(row));
            found.once('error', (error: Error) => done(error, undefined));
            found.once('end', () => done(undefined, rows));
            stop = () => {
                found.removeAllListeners('record');
                done(signal?.reason as Error, undefined);
            };
            signal?.addEventListener('abort', stop);
        });
        try {
            return (await answer) as unknown[];
        } finally {
            if (stop !== undefined) {
                signal?.removeEventListener('abort', stop);
            }
        }
    }

    /** Ends all connections; calls under way reject. */
    async close(): Promise<void> {
        if (this.#isClosed) {
            return;
        }
        this.#isClosed = true;
        this.emit('closed');
        if (this.#client !== undefined) {
            const closed = once(this.#client, 'close');
            this.#client.close();
            // It ends pauses between attempts to connect late, which nobody needs to wait for.
            await within(CLOSE_LIMIT, closed).catch(() => undefined);
        }
    }

    async #ready(deadline: Deadline): Promise<Client> {
        deadline.check();
        if (!this.isConnected && !this.#isClosed) {
            await this.#firstConnect;
        }
        if (this.#client === undefined || this.#isClosed || !this.isConnected) {
            this.#warn();
            throw new NotConnectedError('not connected to Moray');
        }
        return this.#client;
    }

    async #reconnected(milliseconds: number): Promise<boolean> {
        if (!this.isConnected && !this.#isClosed) {
            const given = new AbortController();
            const timer = setTimeout(() => given.abort(), milliseconds);
            const { signal } = given;
            await Promise.race([once(this, 'connected', { signal }), once(this, 'closed', { signal })]).catch(
                () => undefined,
            );
            clearTimeout(timer);
            given.abort();
        }
        return this.isConnected;
    }

    /**
     * Sees to it that calls without an answer do not pile up on a connection: one that has been
     * silent for as long as a call may take is as good as broken, so it is ended and made anew.
     */
    #watch(connection: Connection): void {
        const socket = connection.fc_sock;
        const fast = connection.fastClient();
        const rpc = fast.rpc.bind(fast);
        let unanswered = 0;
        // Small messages that are held back until an earlier one is acknowledged cost 40 ms each.
        socket.setNoDelay(true);
        fast.rpc = (options) => {
            const { bytesRead } = socket;
            const request = rpc({ ...options, timeout: options.timeout ?? this.#callTimeout });
            request.once('error', (error) => {
                if (isNamed(error, 'TimeoutError')) {
                    unanswered += 1;
                    if (socket.bytesRead === bytesRead || unanswered > MAX_UNANSWERED) {
                        this.#wasSilent = true;
                        socket.destroy(error);
                    }
                }
            });
            return request;
        };
    }

    #warn(error?: Error): void {
        if (!this.#isClosed) {
            this.#complain('Moray cannot be reached', error);
        }
    }

    #complain(complaint: string, error?: Error): void {
        if (this.#complaints.isDue(complaint)) {
            this.#log.warn(error === undefined ? {} : { err: error }, complaint);
            this.#isToldConnected = false;
        }
    }
}
