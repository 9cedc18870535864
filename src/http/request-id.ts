import type { IncomingHttpHeaders } from 'node:http';
import { newUuid } from '../base/uuid.js';

/** What a client may choose as id: 1-128 printable ASCII characters without spaces (http-api 1.5, D9). */
const SANE_ID = /^[\x21-\x7e]{1,128}$/;

/** The id of a request: `request-id`, else `x-request-id`, else a fresh UUID; odd values are replaced. */
export function requestId(headers: IncomingHttpHeaders): string {
    const given = headers['request-id'] ?? headers['x-request-id'];
    return typeof given === 'string' && SANE_ID.test(given) ? given : newUuid();
}
