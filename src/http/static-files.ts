import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { ApiError, internalError, resourceNotFound } from '../base/errors.js';
import { httpDate, notModifiedSince } from './conditions.js';
import type { Reply, ReplyHeaders } from './reply.js';

/** Larger files are no documentation; they would be held in memory as a whole. */
const MAX_FILE_SIZE = 16_777_216;

const DEFAULT_TYPE = 'application/octet-stream';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
    '.css': 'text/css; charset=utf-8',
    '.gif': 'image/gif',
    '.html': 'text/html; charset=utf-8',
    '.ico': 'image/x-icon',
    '.jpeg': 'image/jpeg',
    '.jpg': 'image/jpeg',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.map': 'application/json',
    '.md': 'text/markdown; charset=utf-8',
    '.pdf': 'application/pdf',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
    '.webp': 'image/webp',
    '.woff': 'font/woff',
    '.woff2': 'font/woff2',
    '.xml': 'application/xml',
};

/** What is asked of the documentation. */
export interface DocsRequest {
    /** The built documentation. */
    readonly directory: string;
    /** The path below `/docs/`, decoded. */
    readonly rest: string;
    /** The whole path as received, for messages. */
    readonly path: string;
    readonly headers: IncomingHttpHeaders;
}

interface FoundFile {
    readonly path: string;
    /** Milliseconds since the epoch. */
    readonly mtime: number;
}

const MISSING = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);

function missing(path: string): ApiError {
    return resourceNotFound(`${path} does not exist`);
}

function outside(path: string): ApiError {
    return new ApiError('NotAuthorized', `${path} is outside of the documentation`);
}

/** Failures of the file system that mean "no such file" become 404, others 500. */
function readFailure(error: unknown, path: string): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    const { code } = error as NodeJS.ErrnoException;
    return code !== undefined && MISSING.has(code)
        ? missing(path)
        : internalError('could not read file', error);
}

function isBelow(directory: string, path: string): boolean {
    return path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

/** Follows symbolic links and checks again where they lead. @throws 403, 404 */
async function locate(request: DocsRequest): Promise<FoundFile> {
    const { rest, path } = request;
    if (rest.includes('\0')) {
        throw missing(path);
    }
    const directory = resolve(request.directory);
    const wanted = resolve(directory, `.${sep}${rest}`);
    if (!isBelow(directory, wanted)) {
        throw outside(path);
    }
    const root = await realpath(directory);
    const real = await realpath(wanted);
    if (!isBelow(root, real)) {
        throw outside(path);
    }
    const facts = await stat(real);
    if (facts.isFile()) {
        return { path: real, mtime: facts.mtimeMs };
    }
    if (!facts.isDirectory()) {
        throw missing(path);
    }
    const index = await realpath(join(real, 'index.html'));
    if (!isBelow(root, index)) {
        throw outside(path);
    }
    return { path: index, mtime: (await stat(index)).mtimeMs };
}

/** Reads a regular file; anything else under the name counts as missing. */
async function readBounded(file: string, path: string): Promise<Buffer> {
    // Without O_NONBLOCK a named pipe would wait for its writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
        const facts = await handle.stat();
        if (!facts.isFile()) {
            throw missing(path);
        }
        if (facts.size > MAX_FILE_SIZE) {
            throw internalError('file is too large to be served');
        }
        return await handle.readFile();
    } finally {
        await handle.close();
    }
}

/**
 * A page of the documentation (http-api 3.26): the file below the directory, `index.html` for a
 * directory, 304 when the client has it already.
 *
 * @throws 403 `NotAuthorized` for what lies outside, by `..` or a symbolic link; 404 `ResourceNotFound`
 */
export async function docsReply(request: DocsRequest): Promise<Reply> {
    try {
        const file = await locate(request);
        const headers: ReplyHeaders = {
            'Cache-Control': 'public, max-age=3600',
            'Last-Modified': httpDate(file.mtime),
        };
        if (notModifiedSince(request.headers['if-modified-since'], file.mtime)) {
            return { kind: 'empty', status: 304, headers };
        }
        return {
            kind: 'bytes',
            bytes: await readBounded(file.path, request.path),
            contentType: CONTENT_TYPES[extname(file.path).toLowerCase()] ?? DEFAULT_TYPE,
            headers,
        };
    } catch (error) {
        throw readFailure(error, request.path);
    }
}

/**
 * The icon browsers ask for (http-api 3.26).
 *
 * @param file the icon that ships with the documentation
 * @param path as received, for messages
 * @throws 404 `ResourceNotFound` when there is none
 */
export async function faviconReply(file: string, path: string): Promise<Reply> {
    try {
        const bytes = await readBounded(file, path);
        return {
            kind: 'bytes',
            bytes,
            contentType: 'image/x-icon',
            headers: {
                Etag: `"${createHash('md5').update(bytes).digest('base64')}"`,
                'Cache-Control': 'public, max-age=86400',
            },
        };
    } catch (error) {
        throw readFailure(error, path);
    }
}
