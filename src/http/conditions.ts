import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../base/errors.js';
import type { EntityFacts } from './reply.js';

/** One entity tag of a list: `W/"weak"`, `"quoted"` or bare. */
const LISTED_TAG = /(?:W\/)?"([^"]*)"|([^\s,"]+)/g;

/** The three forms of an HTTP date all start with the name of a weekday (RFC 9110 5.6.7). */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;
/** The oldest form names no zone and means GMT, where `Date.parse` would take the machine's zone. */
const WITHOUT_ZONE = / \d{4}$/;

/** Whether a list of entity tags names `etag`; weak and strong compare alike (http-api 1.7). */
function listNames(header: string, etag: string): boolean {
    for (const [text, quoted, bare] of header.matchAll(LISTED_TAG)) {
        if (text === '*' || (quoted ?? bare) === etag) {
            return true;
        }
    }
    return false;
}

/** Whole seconds since the epoch; `undefined` when the text is no HTTP date. */
function parseHttpDate(text: string | undefined): number | undefined {
    if (text === undefined || !HTTP_DATE.test(text)) {
        return undefined;
    }
    const milliseconds = Date.parse(WITHOUT_ZONE.test(text) ? `${text} GMT` : text);
    return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

/** A time as HTTP headers carry it. @param milliseconds since the epoch */
export function httpDate(milliseconds: number): string {
    return new Date(milliseconds).toUTCString();
}

/**
 * Whether the client's copy is current by date: not modified after `If-Modified-Since`, compared in
 * whole seconds (http-api 1.7).
 */
export function notModifiedSince(header: string | undefined, lastModified: number): boolean {
    const since = parseHttpDate(header);
    return since !== undefined && Math.floor(lastModified / 1000) <= since;
}

function preconditionFailed(message: string): ApiError {
    return new ApiError('PreconditionFailed', message);
}

/**
 * Evaluates the conditions of a request against what this very request would answer, in the order
 * If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since (http-api 1.7).
 *
 * @returns `not-modified`, only for GET and HEAD, when 304 is the answer
 * @throws 412 `PreconditionFailed`
 */
export function checkPreconditions(
    headers: IncomingHttpHeaders,
    entity: EntityFacts,
    method: string,
): 'proceed' | 'not-modified' {
    const { etag, lastModified } = entity;
    const isRead = method === 'GET' || method === 'HEAD';
    const ifMatch = headers['if-match'];
    if (ifMatch !== undefined && !listNames(ifMatch, etag)) {
        throw preconditionFailed(`if-match '${ifMatch}' didn't match etag '${etag}'`);
    }
    const ifNoneMatch = headers['if-none-match'];
    if (ifNoneMatch !== undefined && listNames(ifNoneMatch, etag)) {
        if (isRead) {
            return 'not-modified';
        }
        throw preconditionFailed(`if-none-match '${ifNoneMatch}' matched etag '${etag}'`);
    }
    if (lastModified === undefined) {
        return 'proceed';
    }
    if (isRead && ifNoneMatch === undefined && notModifiedSince(headers['if-modified-since'], lastModified)) {
        return 'not-modified';
    }
    const ifUnmodifiedSince = headers['if-unmodified-since'];
    const limit = ifMatch === undefined ? parseHttpDate(ifUnmodifiedSince) : undefined;
    if (limit !== undefined && Math.floor(lastModified / 1000) > limit) {
        throw preconditionFailed(
            `object was modified at '${httpDate(lastModified)}'; if-unmodified-since '${ifUnmodifiedSince ?? ''}'`,
        );
    }
    return 'proceed';
}
