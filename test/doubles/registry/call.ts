import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { CutOff } from '../call-rules.js';
import type { RegistryFault, RegistryRequestLog } from './faults.js';
import { RegistryError } from './registry-error.js';

const PIECE = 65_536;
const MAX_UPLOAD = 1024 * 1024 * 1024;

/** A request that is being served. */
export interface RegistryCall {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly url: URL;
    readonly fault: RegistryFault;
    readonly logged: RegistryRequestLog;
}

/** To be called just before a change is made. @throws CutOff if it is not to be made */
export function beforeChange({ fault }: RegistryCall): void {
    if (fault.cutAnswer === 'not-made') throw new CutOff();
}

function headersOf(
    { fault }: RegistryCall,
    own: Readonly<Record<string, string | number>>,
): Record<string, string | number> {
    const all = Object.entries<string | number | undefined>({ ...own, ...fault.headers });
    return Object.fromEntries(all.filter((pair): pair is [string, string | number] => pair[1] !== undefined));
}

/** Answers without bytes that anybody looks at. */
export function answer(
    call: RegistryCall,
    status: number,
    headers: Readonly<Record<string, string | number>> = {},
    text = '',
): void {
    const { request, response, logged } = call;
    if (call.fault.cutAnswer !== undefined) throw new CutOff();
    logged.status = status;
    const length = Buffer.byteLength(text);
    response.writeHead(status, headersOf(call, { 'content-length': length, ...headers }));
    response.end(request.method === 'HEAD' ? undefined : text);
    // What nobody wants of the request's body.
    request.resume();
}

/** The bytes there are, as the faults of the call have them. */
function bytesToSend({ fault }: RegistryCall, real: Buffer): Buffer {
    let bytes = fault.body ?? real;
    if (fault.corruptAt !== undefined) {
        bytes = Buffer.from(bytes);
        const at = Math.min(fault.corruptAt, bytes.length - 1);
        bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at);
    }
    const { length = bytes.length } = fault;
    if (length <= bytes.length) return bytes.subarray(0, length);
    return Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
}

/** The part that a range asks for: the ends as in arrays. @throws RegistryError 416 */
function partOf({ request, fault }: RegistryCall, etag: string, size: number): readonly [number, number] {
    const [, from, to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const condition = request.headers['if-range'];
    if (from === undefined || fault.ranges === 'ignored' || (condition !== undefined && condition !== etag)) {
        return [0, size];
    }
    const start = fault.ranges === 'wrong' ? Math.max(0, Number(from) - 1) : Number(from);
    if (start >= size) {
        throw new RegistryError(416, 'RANGE_INVALID', 'invalid content range', {
            headers: { 'content-range': `bytes */${size}` },
        });
    }
    return [start, to === '' ? size : Math.min(Number(to) + 1, size)];
}

/** Waits until the client has gone. */
export async function closed({ response }: RegistryCall): Promise<void> {
    if (!response.destroyed) await once(response, 'close');
}

/** Writes, and waits until the system has taken it. @throws CutOff when the client has gone */
async function write({ response, logged, fault }: RegistryCall, bytes: Buffer): Promise<void> {
    if (response.destroyed) throw new CutOff();
    await new Promise<void>((resolve, reject) => {
        const gone = (): void => reject(new CutOff());
        response.once('close', gone);
        response.write(bytes, (error) => {
            response.off('close', gone);
            if (error === undefined || error === null) resolve();
            else gone();
        });
    });
    logged.bytesOut += bytes.length;
    if (fault.bytesPerSecond !== undefined) await delay((bytes.length / fault.bytesPerSecond) * 1000);
}

/** Sends bytes, or the part of them that is asked for, as the faults of the call have it. */
export async function sendBytes(
    call: RegistryCall,
    real: Buffer,
    headers: Readonly<Record<string, string>>,
): Promise<void> {
    const { request, response, fault, logged } = call;
    const bytes = bytesToSend(call, real);
    const etag = headers['etag'] ?? '';
    const [start, end] = request.method === 'HEAD' ? [0, bytes.length] : partOf(call, etag, bytes.length);
    const isPart = end - start !== bytes.length || start > 0;
    const length = fault.endless === true ? 'none' : (fault.contentLength ?? end - start);
    logged.status = isPart ? 206 : 200;
    response.strictContentLength = false;
    response.writeHead(
        logged.status,
        headersOf(call, {
            ...headers,
            ...(length === 'none' ? {} : { 'content-length': length }),
            ...(isPart ? { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
        }),
    );
    if (request.method === 'HEAD') {
        response.end();
        return;
    }
    response.flushHeaders();
    const stop = Math.min(fault.cutAt ?? Infinity, fault.stallAt ?? Infinity);
    const piece = Math.min(PIECE, fault.bytesPerSecond ?? PIECE);
    const { at: gateAt, gate } = fault.gate ?? { at: Infinity };
    for (let at = start; at < Math.min(end, stop);) {
        if (at === gateAt) await gate?.pass();
        const next = Math.min(at + piece, end, stop, gateAt > at ? gateAt : Infinity);
        await write(call, bytes.subarray(at, next));
        at = next;
    }
    if (stop >= start && stop < end) {
        if (fault.cutAt === stop) throw new CutOff();
        await closed(call);
        return;
    }
    while (fault.endless === true) await write(call, Buffer.alloc(PIECE, ' '));
    // A connection whose length was not the right one is good for nothing any more.
    if (length !== 'none' && length !== end - start) throw new CutOff();
    response.end();
}

/** Reads the body of an upload. @throws CutOff where it is to be cut, or breaks off */
export async function receive({ request, logged, fault }: RegistryCall): Promise<Buffer> {
    const parts: Buffer[] = [];
    try {
        for await (const part of request as AsyncIterable<Buffer>) {
            logged.bytesIn += part.length;
            if (logged.bytesIn >= (fault.cutUploadAt ?? Infinity)) throw new CutOff();
            if (logged.bytesIn > MAX_UPLOAD) throw new RegistryError(413, 'SIZE_INVALID', 'too long');
            parts.push(part);
            if (fault.bytesPerSecond !== undefined) await delay((part.length / fault.bytesPerSecond) * 1000);
        }
    } catch (error) {
        throw error instanceof RegistryError ? error : new CutOff();
    }
    return Buffer.concat(parts);
}
