import type { IncomingMessage, ServerResponse } from 'node:http';
import { CutOff } from '../call-rules.js';
import type { Fault } from './faults.js';
import type { MantaPath } from './paths.js';
import type { LoggedRequest } from './request-log.js';
import type { MantaStore } from './store.js';

/** A request that is being served. */
export interface Call {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly path: MantaPath;
    readonly query: URLSearchParams;
    readonly logged: LoggedRequest;
    readonly fault: Fault;
    readonly store: MantaStore;
    /** Whether snaplinks may be made. */
    readonly snaplinks: boolean;
    /** The client waits to be told that its body may come. */
    awaitsContinue: boolean;
}

/** What a call is answered with. */
export interface Answer {
    readonly status: number;
    readonly headers: Readonly<Record<string, string | number>>;
    readonly text?: string;
    /** The body instead of `text`: either is called, once. */
    readonly body?: { readonly send: () => Promise<void>; readonly drop: () => Promise<void> };
}

/** To be called just before a change is made. @throws CutOff if it is not to be made */
export function beforeChange(call: Call): void {
    if (call.fault.cutAnswer === 'not-made') throw new CutOff();
}
