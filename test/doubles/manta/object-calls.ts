import { finished, pipeline } from 'node:stream/promises';
import type { FileHandle } from 'node:fs/promises';
import { CutOff } from '../call-rules.js';
import { beforeChange, type Answer, type Call } from './call.js';
import { notModified } from './conditions.js';
import { MantaError } from './manta-error.js';
import { parsePath } from './paths.js';
import { parseRange, type ByteRange } from './range.js';
import { receive, throttle } from './receive.js';
import type { ObjectEntry } from './tree.js';

/** Bytes read at once. */
const READ_SIZE = 1 << 20;
/** How long a body may be whose length is not told. */
const MAX_CHUNKED = 5 * 1024 ** 3;
const DURABILITY = 2;
/** MD5 of no bytes that were put. */
const WRONG_MD5 = Buffer.alloc(16, 0x5a).toString('base64');

function objectHeaders(object: ObjectEntry): Record<string, string> {
    return { etag: object.blob, 'last-modified': new Date(object.mtime).toUTCString() };
}

/** The longest body a put may have. @throws if the header that says it is no number */
function longest(call: Call): number {
    const { headers } = call.request;
    if (headers['content-length'] !== undefined) return Infinity;
    const given = headers['max-content-length'];
    if (given === undefined) return MAX_CHUNKED;
    const max = Number(given);
    if (!Number.isSafeInteger(max) || max < 0) {
        throw new MantaError(400, 'InvalidArgument', `max-content-length "${String(given)}" is invalid`);
    }
    return max;
}

function metadata(call: Call): Record<string, string> {
    const headers = Object.entries(call.request.headers).filter(([name]) => name.startsWith('m-'));
    return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]));
}

/** Puts the body of a request at a path. */
export async function putObject(call: Call): Promise<Answer> {
    const { request, store, path } = call;
    if (call.query.get('metadata') === 'true') {
        throw new MantaError(501, 'NotImplemented', 'metadata cannot be changed here');
    }
    store.checkObjectPath(path);
    notModified(request.method, request.headers, store.get(path));
    const max = longest(call);
    const { blob, writer } = await store.startBlob();
    try {
        await receive(call, writer, max);
    } catch (error) {
        await writer.abort();
        throw error;
    }
    const md5 = await writer.finish();
    const expected = request.headers['content-md5'];
    try {
        if (expected !== undefined && expected !== md5) {
            const message = `Content-MD5 expected to be ${String(expected)}, but was ${md5}`;
            throw new MantaError(400, 'ContentMD5Mismatch', message);
        }
        beforeChange(call);
        await store.keepBlob(blob);
        // Much may have happened since the body began.
        notModified(request.method, request.headers, store.get(path));
        const object = await store.putObject(path, {
            blob,
            size: writer.size,
            md5,
            contentType: request.headers['content-type'] ?? 'application/octet-stream',
            durability: Number(request.headers['x-durability-level'] ?? DURABILITY),
            metadata: metadata(call),
        });
        const computed = call.fault.wrongMd5 === true ? WRONG_MD5 : md5;
        return { status: 204, headers: { ...objectHeaders(object), 'computed-md5': computed } };
    } catch (error) {
        await store.dropBlob(blob);
        throw error;
    }
}

/** Lets a path name the object of another. */
export async function makeLink(call: Call): Promise<Answer> {
    const { request, store, path } = call;
    if (!call.snaplinks) {
        throw new MantaError(403, 'SnaplinksDisabledError', 'snaplinks have been disabled for this account');
    }
    store.checkObjectPath(path);
    notModified(request.method, request.headers, store.get(path));
    const { location } = request.headers;
    if (location === undefined) throw new MantaError(400, 'LinkRequired', 'location header is required');
    const source = parsePath(location);
    if (source.account !== path.account) {
        throw new MantaError(400, 'InvalidLink', `${location} is an invalid link`);
    }
    const object = store.get(source);
    if (object === undefined) {
        throw new MantaError(404, 'SourceObjectNotFound', `${source.full} was not found`);
    }
    if (object.type === 'directory') {
        throw new MantaError(400, 'LinkNotObject', `${source.full} is not an object`);
    }
    beforeChange(call);
    const link = await store.putObject(path, object);
    return { status: 204, headers: objectHeaders(link) };
}

/** Sends bytes the way a fault wants them. */
async function sendFaulty(call: Call, file: FileHandle, { start, end }: ByteRange): Promise<void> {
    const { response, fault, logged } = call;
    const { bytesPerSecond, cutAfter = Infinity, corrupt } = fault;
    const highWaterMark = Math.max(1, Math.min(READ_SIZE, Math.ceil((bytesPerSecond ?? READ_SIZE) / 20)));
    let first = corrupt === 'bytes';
    for await (const data of file.createReadStream({ start, end, highWaterMark })) {
        const chunk = (data as Buffer).subarray(0, cutAfter - logged.bytesOut);
        if (first) chunk[0] = (chunk[0] ?? 0) ^ 0xff;
        first = false;
        if (response.destroyed) return;
        if (chunk.length > 0) {
            await new Promise<void>((resolve) => response.write(chunk, () => resolve()));
            logged.bytesOut += chunk.length;
        }
        if (logged.bytesOut >= cutAfter && end - start + 1 > cutAfter) throw new CutOff();
        await throttle(chunk, bytesPerSecond);
    }
    response.end();
    await finished(response);
}

async function send(call: Call, file: FileHandle, range: ByteRange): Promise<void> {
    const { bytesPerSecond, cutAfter, corrupt } = call.fault;
    if (bytesPerSecond !== undefined || cutAfter !== undefined || corrupt === 'bytes') {
        await sendFaulty(call, file, range);
        return;
    }
    await pipeline(file.createReadStream({ ...range, highWaterMark: READ_SIZE }), call.response);
    call.logged.bytesOut += range.end - range.start + 1;
}

/** Answers what is known of an object and, unless it is only asked for that, sends its bytes. */
export async function getObject(call: Call, object: ObjectEntry): Promise<Answer> {
    const { request, store, fault } = call;
    const facts = objectHeaders(object);
    if (notModified(request.method, request.headers, object)) return { status: 304, headers: facts };
    const isHead = request.method === 'HEAD';
    const range = isHead ? undefined : parseRange(request.headers.range, object.size);
    const headers = {
        ...facts,
        ...object.metadata,
        'accept-ranges': 'bytes',
        'content-type': object.contentType,
        'content-md5': fault.corrupt === 'md5' ? WRONG_MD5 : object.md5,
        'content-length': range === undefined ? object.size : range.end - range.start + 1,
        'durability-level': object.durability,
        ...(range && { 'content-range': `bytes ${range.start}-${range.end}/${object.size}` }),
    };
    const status = range === undefined ? 200 : 206;
    if (isHead || object.size === 0) return { status, headers };
    const file = await store.openBlob(object);
    const bytes = range ?? { start: 0, end: object.size - 1 };
    return { status, headers, body: { send: () => send(call, file, bytes), drop: () => file.close() } };
}
