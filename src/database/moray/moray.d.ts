/** The part of the Moray client that is used here; the package brings no types. */
declare module 'moray' {
    import type { EventEmitter } from 'node:events';
    import type { Socket } from 'node:net';
    import type Logger from 'bunyan';

    /** When an attempt to connect has failed, and how long to wait for the next; milliseconds. */
    export interface Recovery {
        readonly retries: number;
        readonly timeout: number;
        readonly maxTimeout: number;
        readonly delay: number;
        readonly maxDelay: number;
    }

    export interface ClientOptions {
        readonly host: string;
        readonly port: number;
        readonly log: Logger;
        readonly cueballOptions: {
            readonly target: number;
            readonly maximum: number;
            readonly recovery: {
                readonly default: Recovery;
                readonly dns: Recovery;
                readonly dns_srv: Recovery;
            };
        };
    }

    /** A call on one connection. */
    export interface Request extends EventEmitter {
        once(event: 'error', listener: (error: Error) => void): this;
    }

    export interface RequestOptions {
        readonly rpcmethod: string;
        /** Milliseconds; a call is given up after that. */
        readonly timeout?: number | undefined;
    }

    /** One of the connections to Moray. */
    export interface Connection extends EventEmitter {
        readonly fc_sock: Socket;
        fastClient(): { rpc(options: RequestOptions): Request };
    }

    /** The connections there are; `added` and `removed` tell of changes. */
    export interface ConnectionSet extends EventEmitter {
        on(event: 'added', listener: (key: string, connection: Connection) => void): this;
        on(event: 'removed', listener: (key: string) => void): this;
    }

    export type Callback<T> = (error: Error | null | undefined, result: T) => void;

    export interface Client extends EventEmitter {
        readonly cueball: ConnectionSet;
        getBucket(bucket: string, options: object, callback: Callback<unknown>): void;
        createBucket(bucket: string, config: object, options: object, callback: Callback<unknown>): void;
        updateBucket(bucket: string, config: object, options: object, callback: Callback<unknown>): void;
        getObject(bucket: string, key: string, options: object, callback: Callback<unknown>): void;
        putObject(
            bucket: string,
            key: string,
            value: object,
            options: object,
            callback: Callback<unknown>,
        ): void;
        deleteObject(bucket: string, key: string, options: object, callback: Callback<unknown>): void;
        batch(requests: readonly object[], options: object, callback: Callback<unknown>): void;
        findObjects(bucket: string, filter: string, options: object): EventEmitter;
        ping(options: object, callback: Callback<unknown>): void;
        close(): void;
    }

    const moray: { createClient(options: ClientOptions): Client };
    // eslint-disable-next-line no-restricted-syntax -- it is what the package exports
    export default moray;
}
