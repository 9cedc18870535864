import type { ReplyHeaders } from './reply.js';

/** Characters that cannot stand in a header. */
const UNFIT = /[^\t\x20-\x7e]/g;

/** What the standard headers tell (http-api 1.5). */
export interface StandardFacts {
    readonly serverName: string;
    readonly hostName: string;
    readonly requestId: string;
    /** When the request came, as of `performance.now()`. */
    readonly receivedAt: number;
    /** Whether the connection ends with this answer. */
    readonly close: boolean;
}

/** Headers of every answer (http-api 1.5). `Date`, and `Connection` unless it is to be closed, come from Node. */
export function standardHeaders(facts: StandardFacts): ReplyHeaders {
    return {
        Server: facts.serverName.replace(UNFIT, '?'),
        'x-request-id': facts.requestId,
        'x-response-time': String(Math.round(performance.now() - facts.receivedAt)),
        'x-server-name': facts.hostName,
        ...(facts.close ? { Connection: 'close' } : {}),
    };
}
