import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { sendJson, type ServedRequest } from '../http-service.js';
import { happens, type ServedFile, sha1Of } from './served-image.js';

const PIECE = 16_384;

/** What of a file goes out, ends as in arrays. */
interface Part {
    readonly start: number;
    readonly end: number;
    readonly isPart: boolean;
}

function etagOf({ etag = 'bare', bytes, sends }: ServedFile): string | undefined {
    const sha1 = sha1Of(sends ?? bytes);
    if (typeof etag === 'object') return etag.text;
    return { bare: sha1, quoted: `"${sha1}"`, weak: `W/"${sha1}"`, none: undefined }[etag];
}

/** As RFC 9110 has it: only a quoted, strong tag that is ours lets a part be sent. */
function isStillThat(file: ServedFile, header: string | undefined): boolean {
    if (header === undefined || file.ifRange === false) return true;
    const etag = etagOf(file);
    return etag !== undefined && !etag.startsWith('W/') && header === `"${etag.replace(/"/g, '')}"`;
}

/** `undefined`: no byte of the file is asked for. */
function partOf(file: ServedFile, { headers }: ServedRequest, size: number): Part | undefined {
    const whole = { start: 0, end: size, isPart: false };
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
    const { ranges = 'yes' } = file;
    if (
        from === undefined ||
        ranges === 'ignored' ||
        !isStillThat(file, String(headers['if-range'] ?? '') || undefined)
    ) {
        return whole;
    }
    const start = ranges === 'wrong' ? Math.max(0, Number(from) - 1) : Number(from);
    if (start >= size) return undefined;
    return {
        start,
        end: to === '' || to === undefined ? size : Math.min(Number(to) + 1, size),
        isPart: true,
    };
}

function headersOf(file: ServedFile, { start, end, isPart }: Part, size: number): Record<string, string> {
    const { ranges = 'yes', length = 'right', contentMD5 = 'right' } = file;
    const bytes = file.sends ?? file.bytes;
    const etag = etagOf(file);
    const md5 =
        typeof contentMD5 === 'object' ? contentMD5.text : createHash('md5').update(bytes).digest('base64');
    return {
        'content-type': 'application/octet-stream',
        ...(ranges === 'ignored' ? {} : { 'accept-ranges': 'bytes' }),
        ...(length === 'none' || file.endless === true
            ? {}
            : { 'content-length': String(length === 'right' ? end - start : length) }),
        ...(etag === undefined ? {} : { etag }),
        ...(contentMD5 === 'none' || isPart ? {} : { 'content-md5': md5 }),
        ...(isPart ? { 'content-range': `bytes ${start}-${end - 1}/${size}` } : {}),
    };
}

/** Where the body stops for good, and how. */
function stopOf(
    file: ServedFile,
    start: number,
): { readonly at: number; readonly cuts: boolean } | undefined {
    const { cut, stall } = file;
    if (cut !== undefined) {
        const at = 'at' in cut ? cut.at : start + cut.after;
        if (at >= start && happens(cut)) return { at, cuts: true };
    }
    if (stall !== undefined && stall.at >= start && happens(stall)) return { at: stall.at, cuts: false };
    return undefined;
}

/** Writes and waits until the system has taken it; false when nobody listens any more. */
async function write(response: ServerResponse, bytes: Buffer): Promise<boolean> {
    if (response.destroyed) return false;
    return new Promise((resolve) => {
        const onClose = (): void => resolve(false);
        response.once('close', onClose);
        response.write(bytes, (error) => {
            response.off('close', onClose);
            resolve(error === undefined || error === null);
        });
    });
}

async function writeBody(file: ServedFile, part: Part, response: ServerResponse): Promise<void> {
    const bytes = file.sends ?? file.bytes;
    const stop = stopOf(file, part.start);
    const end = Math.min(part.end, stop?.at ?? part.end);
    for (let from = part.start; from < end;) {
        const { gate, throttle } = file;
        if (gate?.at === from) await gate.gate.pass();
        const next = gate !== undefined && gate.at > from ? gate.at : end;
        const to = Math.min(end, next, throttle === undefined ? end : from + PIECE);
        if (!(await write(response, bytes.subarray(from, to)))) return;
        if (throttle !== undefined) await delay(((to - from) / throttle) * 1000);
        from = to;
    }
    if (stop !== undefined) {
        if (stop.cuts) response.destroy();
        return;
    }
    while (file.endless === true && (await write(response, Buffer.alloc(PIECE)))) {
        // On and on.
    }
    response.end();
}

/** Sends a file of an image as its behaviour says. */
export async function sendFile(
    file: ServedFile,
    request: ServedRequest,
    response: ServerResponse,
): Promise<void> {
    if (file.delayMs !== undefined) await delay(file.delayMs);
    if (happens(file.hang)) return;
    const { refuse } = file;
    if (refuse !== undefined && happens(refuse)) {
        sendJson(response, refuse.status, refuse.body ?? {}, refuse.headers);
        return;
    }
    const size = (file.sends ?? file.bytes).length;
    const part = partOf(file, request, size);
    if (part === undefined) {
        const message = `range '${request.headers.range ?? ''}' is not satisfiable for size ${size}`;
        sendJson(
            response,
            416,
            { code: 'RangeNotSatisfiable', message },
            { 'content-range': `bytes */${size}` },
        );
        return;
    }
    response.writeHead(part.isPart ? 206 : 200, headersOf(file, part, size));
    if (request.method === 'HEAD') {
        response.end();
        return;
    }
    // The headers go out even if the body waits.
    response.flushHeaders();
    await writeBody(file, part, response);
}
