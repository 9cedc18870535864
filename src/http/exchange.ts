import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type Logger from 'bunyan';
import type { JsonValue } from '../manifest/types.js';
import type { ProxiedPeer } from './proxy-header.js';
import type { QueryParameters } from './query-parameters.js';

/** A request body that was read as a whole (http-api 1.3). */
export type RequestBody = { readonly present: false } | { readonly present: true; readonly value: JsonValue };

/** A request as route chains and handlers see it. Made once, before the chain runs; never changed. */
export interface Exchange {
    /** Name of the route, as in the route table. */
    readonly routeName: string;
    /** As received; `HEAD` stays `HEAD`. */
    readonly method: string;
    /** Request target as received, query string included. */
    readonly target: string;
    /** Path as received, without query string. */
    readonly path: string;
    /** Decoded values of the path's parameter segments. */
    readonly params: Readonly<Record<string, string>>;
    readonly query: QueryParameters;
    readonly headers: IncomingHttpHeaders;
    readonly httpVersion: string;
    /** The peer, a proxy perhaps. */
    readonly remoteAddress: string | undefined;
    /** Whether the peer talks TLS to us. */
    readonly encrypted: boolean;
    /** Whom the peer has named in the PROXY protocol. */
    readonly proxied: ProxiedPeer | undefined;
    readonly requestId: string;
    readonly log: Logger;
    /** Aborted when the client has gone or the server stops waiting. */
    readonly signal: AbortSignal;
    /** Whether the answer has the version 2 form (http-api 1.9). */
    readonly version2: boolean;
    /** Whether the `Accept-Version` range asks for `provenance` in documents (README, API versions). */
    readonly asksProvenance: boolean;
    /**
     * Reads and parses the body by the rules of http-api 1.3; later calls give the same result.
     *
     * @throws 400 or 413
     */
    readBody(): Promise<RequestBody>;
    /**
     * Starts an upload: sends `100 Continue` if the client waits for it and gives the raw bytes.
     * Nothing of the body is read before (http-api 3.8, D12).
     */
    startUpload(): Readable;
    /** Notes who was authenticated, for the audit record. */
    noteUser(user: string): void;
}
