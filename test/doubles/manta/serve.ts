import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { finished } from 'node:stream/promises';
import { CutOff, pass } from '../call-rules.js';
import type { Answer, Call } from './call.js';
import { list, makeDirectory, remove } from './directory-calls.js';
import type { CallKind, Fate, Fault, Faults } from './faults.js';
import { MantaError } from './manta-error.js';
import { getObject, makeLink, putObject } from './object-calls.js';
import { parsePath, type MantaPath } from './paths.js';
import type { LoggedRequest, RequestLog } from './request-log.js';
import type { Signatures } from './signatures.js';
import type { MantaStore } from './store.js';

/** What requests are served with. */
export interface Surroundings {
    readonly serverName: string;
    readonly snaplinks: boolean;
    readonly store: MantaStore;
    readonly signatures: Signatures;
    readonly faults: Faults;
    readonly log: RequestLog;
}

const TYPED = /^application\/(?:json|x-json-stream);\s*type=(\w+)/;
const CODES: Readonly<Record<number, readonly [code: string, message: string]>> = {
    500: ['InternalError', 'an unexpected error occurred'],
    503: ['ServiceUnavailable', 'manta is unable to serve this request'],
    507: ['NotEnoughSpace', 'not enough free space'],
};

function kindOf(request: IncomingMessage, path: MantaPath | undefined, store: MantaStore): CallKind {
    switch (request.method) {
        case 'GET':
            return path !== undefined && store.get(path)?.type === 'directory' ? 'list' : 'get';
        case 'HEAD':
            return 'head';
        case 'DELETE':
            return 'delete';
        case 'PUT': {
            const [, type] = TYPED.exec(request.headers['content-type'] ?? '') ?? [];
            return type === 'directory' ? 'mkdir' : type === 'link' ? 'link' : 'put';
        }
        default:
            return 'other';
    }
}

/** The path of a request, or why it is none. */
function pathOf(encoded: string): MantaPath | MantaError {
    try {
        return parsePath(encoded);
    } catch (error) {
        if (error instanceof MantaError) return error;
        throw error;
    }
}

function refusal(refuse: NonNullable<Fault['refuse']>): MantaError {
    if (typeof refuse !== 'number') return new MantaError(refuse.status, refuse.code, refuse.message);
    const [code = '', message = ''] = CODES[refuse] ?? [];
    return new MantaError(refuse, code, message);
}

function dispatch(call: Call, kind: CallKind): Promise<Answer> {
    switch (kind) {
        case 'put':
            return putObject(call);
        case 'link':
            return makeLink(call);
        case 'mkdir':
            return makeDirectory(call);
        case 'delete':
            return remove(call);
        case 'get':
        case 'head':
        case 'list': {
            const entry = call.store.require(call.path);
            return entry.type === 'directory' ? list(call) : getObject(call, entry);
        }
        case 'other':
            throw new MantaError(405, 'MethodNotAllowed', `${call.request.method ?? ''} is not allowed`);
    }
}

function errorAnswer(error: unknown): Answer {
    const known =
        error instanceof MantaError
            ? error
            : new MantaError(500, 'InternalError', error instanceof Error ? error.message : String(error));
    const text = JSON.stringify({ code: known.code, message: known.message });
    return { status: known.status, headers: { 'content-type': 'application/json', ...known.headers }, text };
}

/** Sends an answer. */
async function send(call: Call, { status, headers, text, body }: Answer): Promise<void> {
    const { request, response, logged } = call;
    const hasText = text !== undefined && request.method !== 'HEAD';
    logged.status = status;
    response.writeHead(status, {
        ...headers,
        ...(hasText && { 'content-length': Buffer.byteLength(text) }),
        // A body that may not come can be told from the next request in no other way.
        ...(call.awaitsContinue && { connection: 'close' }),
    });
    if (body !== undefined) {
        await body.send();
        return;
    }
    response.end(hasText ? text : '');
    await finished(response);
    // The rest of a body that is not wanted.
    request.resume();
}

/** Does what is asked for, or what a fault wants instead. */
async function answer(around: Surroundings, call: Call, fate: Fate, error?: MantaError): Promise<void> {
    let result: Answer;
    try {
        await pass(fate.before);
        if (fate.fault.refuse !== undefined) throw refusal(fate.fault.refuse);
        if (error !== undefined) throw error;
        call.logged.account = around.signatures.authorize(call.request, call.path.account);
        result = await dispatch(call, call.logged.kind);
    } catch (failure) {
        if (failure instanceof CutOff) throw failure;
        result = errorAnswer(failure);
    }
    try {
        await pass(fate.after);
        if (fate.fault.cutAnswer !== undefined) throw new CutOff();
    } catch (cut) {
        await result.body?.drop();
        throw cut;
    }
    await send(call, result);
}

/** Serves a request to its end. */
export async function serve(
    around: Surroundings,
    request: IncomingMessage,
    response: ServerResponse,
): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://manta');
    const path = pathOf(url.pathname);
    const known = path instanceof MantaError ? undefined : path;
    const logged: LoggedRequest = {
        method: request.method ?? '',
        path: known?.full ?? url.pathname,
        query: Object.fromEntries(url.searchParams),
        kind: kindOf(request, known, around.store),
        headers: request.headers,
        bytesIn: 0,
        bytesOut: 0,
        done: false,
    };
    const fate = around.faults.decide(logged);
    around.log.add(logged);
    response.setHeader('x-request-id', request.headers['x-request-id'] ?? randomUUID());
    response.setHeader('x-server-name', around.serverName);
    response.setHeader('server', 'Manta');
    if (fate.fault.hang === true) return;
    const call: Call = {
        request,
        response,
        path: known ?? { full: url.pathname, account: '', names: [] },
        query: url.searchParams,
        logged,
        fault: fate.fault,
        store: around.store,
        snaplinks: around.snaplinks,
        awaitsContinue: request.headers.expect?.toLowerCase() === '100-continue',
    };
    try {
        await answer(around, call, fate, path instanceof MantaError ? path : undefined);
    } catch {
        // Cut off by a fault, or gone by itself.
        request.socket.destroy();
    } finally {
        logged.done = true;
        around.log.changed();
    }
}
