import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { checkPreconditions, httpDate } from './conditions.js';
import { requestedRange } from './ranges.js';
import type { DownloadReply, LinesReply, Reply, ReplyHeaders } from './reply.js';

/** A JSON answer's type, exactly: clients compare the string (http-api 1.4). */
const JSON_TYPE = 'application/json';

/** What follows the headers. */
export type AnswerBody =
    | { readonly kind: 'none' }
    | { readonly kind: 'whole'; readonly data: string | Buffer }
    | { readonly kind: 'parts'; readonly parts: readonly Buffer[] }
    | { readonly kind: 'stream'; readonly stream: Readable; readonly length: number }
    | LinesBody;

/** Lines whose number nobody knows yet. */
export type LinesBody = Pick<LinesReply, 'kind' | 'style' | 'lines' | 'release'>;

/** A reply with everything decided: status, headers and bytes. */
export interface Answer {
    readonly status: number;
    readonly headers: ReplyHeaders;
    readonly body: AnswerBody;
    /** The JSON value sent, for the audit record; absent for bytes and downloads. */
    readonly auditBody?: () => unknown;
}

/** What of a request decides about its answer. */
export interface AnswerRequest {
    readonly method: string;
    readonly headers: IncomingHttpHeaders;
}

const NO_BODY: AnswerBody = { kind: 'none' };

/** Parts up to this total are sent as one buffer, bytes. */
const JOIN_UP_TO = 65_536;

function jsonAnswer(value: unknown, status: number, headers: ReplyHeaders): Answer {
    const text = JSON.stringify(value, null, 2);
    return {
        status,
        headers: { ...headers, 'Content-Type': JSON_TYPE, 'Content-Length': String(Buffer.byteLength(text)) },
        body: { kind: 'whole', data: text },
        auditBody: () => value,
    };
}

function textAnswer(parts: readonly Buffer[], headers: ReplyHeaders): Answer {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    return {
        status: 200,
        headers: { ...headers, 'Content-Type': JSON_TYPE, 'Content-Length': String(length) },
        body:
            length <= JOIN_UP_TO
                ? { kind: 'whole', data: Buffer.concat(parts, length) }
                : { kind: 'parts', parts },
        auditBody: () => JSON.parse(Buffer.concat(parts, length).toString('utf8')) as unknown,
    };
}

/** 204 and 304 have no `Content-Length`, all others without a body have 0 (http-api 1.7, 3.26). */
function emptyAnswer(status: number, headers: ReplyHeaders): Answer {
    const length = status === 204 || status === 304 ? {} : { 'Content-Length': '0' };
    return { status, headers: { ...headers, ...length }, body: NO_BODY };
}

/** `Content-MD5` is that of the whole file. */
function wholeHeaders({ contentType, contentMD5 }: DownloadReply, validators: ReplyHeaders): ReplyHeaders {
    return {
        ...validators,
        'Content-Type': contentType,
        ...(contentMD5 === undefined ? {} : { 'Content-MD5': contentMD5 }),
    };
}

/** Conditions that a front server would judge again, without our entity tag. */
const FRONT_CONDITIONS = ['if-match', 'if-unmodified-since', 'if-range'];

/**
 * Lets the front server send the bytes (README table A). Whether it knows ranges it says itself: nginx would
 * say it twice.
 *
 * @returns `undefined`: they are to be sent from here
 */
async function handedOver(
    reply: DownloadReply,
    { headers }: AnswerRequest,
    validators: ReplyHeaders,
): Promise<Answer | undefined> {
    if (FRONT_CONDITIONS.some((name) => headers[name] !== undefined)) {
        return undefined;
    }
    const path = await reply.handOff?.();
    return path === undefined
        ? undefined
        : {
              status: 200,
              headers: { ...wholeHeaders(reply, validators), 'X-Accel-Redirect': path },
              body: NO_BODY,
          };
}

/**
 * Conditions, then the range, then the bytes, which are opened before any header is sent
 * (http-api 1.7, 1.8, 3.11).
 */
async function downloadAnswer(reply: DownloadReply, request: AnswerRequest): Promise<Answer> {
    const { entity, size } = reply;
    const validators: ReplyHeaders = {
        Etag: entity.etag,
        ...(entity.lastModified === undefined ? {} : { 'Last-Modified': httpDate(entity.lastModified) }),
    };
    if (checkPreconditions(request.headers, entity, request.method) === 'not-modified') {
        return emptyAnswer(304, validators);
    }
    const handed = await handedOver(reply, request, validators);
    if (handed !== undefined) {
        return handed;
    }
    const range = requestedRange(request.headers, entity, size);
    const stream = await reply.open(range);
    // Until it is read, a failure must not end the process; the reader sees it as `errored`.
    stream.on('error', () => undefined);
    const length = range === undefined ? size : range.end - range.start + 1;
    return {
        status: range === undefined ? 200 : 206,
        headers: {
            ...(range === undefined
                ? wholeHeaders(reply, validators)
                : {
                      ...validators,
                      'Content-Type': reply.contentType,
                      'Content-Range': `bytes ${range.start}-${range.end}/${size}`,
                  }),
            'Accept-Ranges': 'bytes',
            'Content-Length': String(length),
        },
        body: { kind: 'stream', stream, length },
    };
}

/**
 * Turns what a handler returned into status, headers and bytes.
 *
 * @throws for downloads: 412, 416, and what opening the file throws
 */
export async function prepareAnswer(reply: Reply, request: AnswerRequest): Promise<Answer> {
    switch (reply.kind) {
        case 'json':
            return jsonAnswer(reply.value, reply.status ?? 200, reply.headers ?? {});
        case 'text':
            return textAnswer(reply.parts, reply.headers ?? {});
        case 'empty':
            return emptyAnswer(reply.status, reply.headers ?? {});
        case 'bytes':
            return {
                status: 200,
                headers: {
                    ...reply.headers,
                    'Content-Type': reply.contentType,
                    'Content-Length': String(reply.bytes.length),
                },
                body: { kind: 'whole', data: reply.bytes },
            };
        case 'download':
            return downloadAnswer(reply, request);
        case 'lines':
            return {
                status: 200,
                headers: { ...reply.headers, 'Content-Type': reply.style.contentType },
                body: reply,
            };
    }
}
