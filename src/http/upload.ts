import type { Readable } from 'node:stream';
import type { Call } from './call.js';

/** What every upload tells of itself (http-api 3.8, 3.12). */
export interface UploadFacts {
    readonly sha1?: string;
    readonly storage?: string;
    /** Bytes announced; absent with chunked encoding. */
    readonly contentLength?: number;
    readonly contentMD5?: string;
    /** Starts to receive; nothing of the body is read before. */
    readonly start: () => Readable;
}

/** Reads the upload parameters of a request. */
export function uploadFacts(call: Call): UploadFacts {
    const { exchange } = call;
    const sha1 = exchange.query.get('sha1');
    const storage = exchange.query.get('storage');
    const length = exchange.headers['content-length'];
    const contentMD5 = exchange.headers['content-md5'];
    return {
        ...(sha1 === undefined ? {} : { sha1 }),
        ...(storage === undefined ? {} : { storage }),
        ...(length === undefined ? {} : { contentLength: Number(length) }),
        ...(typeof contentMD5 === 'string' ? { contentMD5 } : {}),
        start: () => exchange.startUpload(),
    };
}
