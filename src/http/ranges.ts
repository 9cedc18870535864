import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../base/errors.js';
import { httpDate } from './conditions.js';
import type { EntityFacts } from './reply.js';

/** Bytes of a file, `end` inclusive. */
export interface ByteRange {
    readonly start: number;
    readonly end: number;
}

/** One range of bytes: `a-b`, `a-` or `-n`. */
const SINGLE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i;

/** Whether `If-Range` allows a part: absent, or exactly the current tag or date (http-api 1.8). */
function ifRangeHolds(header: string | undefined, entity: EntityFacts): boolean {
    return (
        header === undefined ||
        header === entity.etag ||
        header === `"${entity.etag}"` ||
        (entity.lastModified !== undefined && header === httpDate(entity.lastModified))
    );
}

function unsatisfiable(header: string, size: number): ApiError {
    return new ApiError('RangeNotSatisfiable', `range '${header}' is not satisfiable for size ${size}`, {
        headers: { 'Content-Range': `bytes */${size}` },
    });
}

/**
 * Finds out which bytes a request asks for (http-api 1.8).
 *
 * @returns the range, cut to the file; `undefined`: send the whole file
 * @throws 416 `RangeNotSatisfiable`
 */
export function requestedRange(
    headers: IncomingHttpHeaders,
    entity: EntityFacts,
    size: number,
): ByteRange | undefined {
    const header = headers.range;
    const ifRange = headers['if-range'];
    if (header === undefined || !ifRangeHolds(typeof ifRange === 'string' ? ifRange : undefined, entity)) {
        return undefined;
    }
    const [, first = '', last = ''] = SINGLE_RANGE.exec(header) ?? [];
    if (first === '' && last === '') {
        return undefined;
    }
    if (first === '') {
        const length = Math.min(Number(last), size);
        if (length === 0) {
            throw unsatisfiable(header, size);
        }
        return { start: size - length, end: size - 1 };
    }
    const start = Number(first);
    if (last !== '' && Number(last) < start) {
        return undefined;
    }
    if (start >= size) {
        throw unsatisfiable(header, size);
    }
    return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}
