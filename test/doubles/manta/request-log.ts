import type { IncomingHttpHeaders } from 'node:http';
import { CallLog, type LoggedCall } from '../call-log.js';
import type { CallKind } from './faults.js';

/** A request as it came and what became of it. */
export interface LoggedRequest extends LoggedCall<CallKind> {
    readonly query: Readonly<Record<string, string>>;
    readonly headers: IncomingHttpHeaders;
    /** Who has signed it, once that is known. */
    account?: string;
    /** Absent until it is answered, for ever if the connection was cut. */
    status?: number;
    /** Of bodies. */
    bytesIn: number;
    bytesOut: number;
}

/** The latest requests, in the order they came in. */
export class RequestLog extends CallLog<CallKind, LoggedRequest> {}
