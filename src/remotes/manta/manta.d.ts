/** The part of the Manta client that is used here; the package brings no types. */
declare module 'manta' {
    import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
    import type { Readable } from 'node:stream';
    import type Logger from 'bunyan';

    export interface CallOptions {
        readonly headers?: Readonly<Record<string, string>>;
    }

    export interface PutOptions extends CallOptions {
        readonly type: string;
        readonly size?: number;
        readonly md5?: string;
    }

    export interface Info {
        /** Media type. */
        readonly type?: string;
        readonly etag?: string;
        readonly md5?: string;
        readonly size?: number;
    }

    /** Called with an error, or with the answer. */
    export type Answered = (error: unknown, response?: IncomingMessage) => void;

    export interface MantaClient {
        /** A path as it is sent. */
        path(path: string): string;
        /** Adds what authenticates a request to its headers. */
        signRequest(
            options: { readonly headers: Record<string, string> },
            done: (error: unknown) => void,
        ): void;
        /** The HTTP client below. */
        readonly client: {
            get(
                options: {
                    readonly path: string;
                    readonly headers: Readonly<Record<string, string>>;
                    readonly retry: false;
                },
                done: (error: unknown, request: ClientRequest) => void,
            ): void;
        };
        info(
            path: string,
            options: CallOptions,
            done: (error: unknown, info: Info, response?: IncomingMessage) => void,
        ): void;
        ln(from: string, to: string, options: CallOptions, done: Answered): void;
        mkdir(path: string, options: CallOptions, done: Answered): void;
        put(path: string, input: Readable, options: PutOptions, done: Answered): void;
        unlink(path: string, options: CallOptions, done: Answered): void;
    }

    export type Sign = (data: string, done: (error: unknown, signature?: unknown) => void) => void;

    export function createClient(options: {
        readonly url: string;
        readonly user: string;
        readonly sign: Sign;
        readonly log: Logger;
        /** Milliseconds, waiting for a free connection included. */
        readonly connectTimeout: number;
        readonly retry: false;
        readonly agent: Agent;
        readonly rejectUnauthorized: boolean;
    }): MantaClient;

    export function privateKeySigner(options: {
        readonly key: string;
        readonly user: string;
        readonly algorithm?: string;
    }): Sign;
}
