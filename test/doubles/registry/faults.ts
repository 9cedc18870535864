import type { IncomingHttpHeaders } from 'node:http';
import type { LoggedCall } from '../call-log.js';
import type { CallLimits, CallMatch } from '../call-rules.js';
import type { Gate } from '../gate.js';

/** What a call is. `object` and `put-object` are calls to the store that a registry sends others to. */
export type RegistryCallKind =
    | 'ping'
    | 'get-manifest'
    | 'head-manifest'
    | 'put-manifest'
    | 'get-blob'
    | 'head-blob'
    | 'start-upload'
    | 'patch-upload'
    | 'put-upload'
    | 'object'
    | 'put-object'
    | 'other';

export type RegistryCallMatch = CallMatch<RegistryCallKind>;
export type RegistryCallLimits = CallLimits<RegistryCallKind>;

/** An answer instead of what was asked for. */
export interface RegistryRefusal {
    readonly status: number;
    /** By default what fits the status. */
    readonly code?: string;
    readonly message?: string;
    readonly headers?: Readonly<Record<string, string>>;
    /** Instead of the errors. */
    readonly body?: string;
}

/** What goes wrong with a call. Several at once are fine. */
export interface RegistryFault {
    readonly refuse?: RegistryRefusal;
    /** Takes the request and says nothing. */
    readonly hang?: boolean;
    /** Sends bytes no faster than this. */
    readonly bytesPerSecond?: number;
    /** Cuts the connection in front of this byte of what is sent, counted from the start of the whole. */
    readonly cutAt?: number;
    /** Says nothing more in front of this byte. */
    readonly stallAt?: number;
    /** Waits at the gate in front of this byte. */
    readonly gate?: { readonly at: number; readonly gate: Gate };
    /** This byte is another one. */
    readonly corruptAt?: number;
    /** So many bytes are sent, fewer or more than there are, and told as the length. */
    readonly length?: number;
    /** What is told as the length, whatever is sent; `none`: nothing is. */
    readonly contentLength?: number | 'none';
    /** Bytes follow for ever. */
    readonly endless?: boolean;
    /** `Range` is not looked at; `wrong`: another part is sent than was asked for. */
    readonly ranges?: 'ignored' | 'wrong';
    /** Sent instead of the bytes there are. */
    readonly body?: Buffer;
    /** Headers that differ; those that are `undefined` are left out. */
    readonly headers?: Readonly<Record<string, string | undefined>>;
    /** Sends the client elsewhere. `to`: as it is written into `Location`. */
    readonly redirect?: { readonly status: number; readonly to: string };
    /** Cuts the connection when so many bytes of an upload have come. */
    readonly cutUploadAt?: number;
    /** Cuts the connection instead of answering, with the change made or not. */
    readonly cutAnswer?: 'made' | 'not-made';
}

/** A request as it came and what became of it. */
export interface RegistryRequestLog extends LoggedCall<RegistryCallKind> {
    readonly query: Readonly<Record<string, string>>;
    readonly headers: IncomingHttpHeaders;
    /** Absent until it is answered, for ever if the connection was cut. */
    status?: number;
    /** Of bodies. */
    bytesIn: number;
    bytesOut: number;
}
