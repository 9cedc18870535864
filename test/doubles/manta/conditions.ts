import type { IncomingHttpHeaders } from 'node:http';
import { preconditionFailed } from './manta-error.js';
import type { Entry } from './tree.js';

/** Whether a list of etags has that of an entry; `*` has all. */
function names(list: string, entry: Entry | undefined): boolean {
    if (entry === undefined) return false;
    const tags = list.split(',').map((tag) => tag.trim().replace(/^(?:W\/)?"(.*)"$/, '$1'));
    return tags.includes('*') || (entry.type === 'object' && tags.includes(entry.blob));
}

/** Whole seconds, as dates of HTTP have them. */
function isNewer(entry: Entry, date: string): boolean {
    return Math.floor(entry.mtime / 1000) * 1000 > Date.parse(date);
}

/**
 * Looks at the conditional headers of a request to what is, or is not, at its path.
 * @returns whether the answer is 304
 * @throws PreconditionFailed
 */
export function notModified(
    method: string | undefined,
    headers: IncomingHttpHeaders,
    entry: Entry | undefined,
): boolean {
    const reads = method === 'GET' || method === 'HEAD';
    const match = headers['if-match'];
    const etag = entry?.type === 'object' ? entry.blob : '';
    if (match !== undefined && !names(match, entry)) {
        throw preconditionFailed(`if-match '${match}' didn't match etag '${etag}'`);
    }
    const none = headers['if-none-match'];
    if (none !== undefined && names(none, entry)) {
        if (reads) return true;
        throw preconditionFailed(`if-none-match '${none}' matched etag '${etag}'`);
    }
    if (entry === undefined) return false;
    const unmodified = headers['if-unmodified-since'];
    if (unmodified !== undefined && isNewer(entry, unmodified)) {
        throw preconditionFailed(`object was modified at '${new Date(entry.mtime).toUTCString()}'`);
    }
    const modified = headers['if-modified-since'];
    return reads && modified !== undefined && none === undefined && !isNewer(entry, modified);
}
