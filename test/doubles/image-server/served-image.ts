import { createHash } from 'node:crypto';
import type { Gate } from '../gate.js';

/** Something that happens so often and then no more; absent: always. */
export interface Limited {
    times?: number;
}

/** How a file is sent. All of it may be changed while the double runs. */
export interface FileBehaviour {
    /** Before the headers, milliseconds. */
    delayMs?: number;
    /** Bytes a second, in pieces of 16 KiB. */
    throttle?: number;
    /** Cuts the connection in front of this byte of the file, or after so many bytes of an answer. */
    cut?: Limited & ({ readonly at: number } | { readonly after: number });
    /** Says nothing more in front of this byte of the file. */
    stall?: Limited & { readonly at: number };
    /** Waits at the gate in front of this byte of the file. */
    gate?: { readonly at: number; readonly gate: Gate };
    /** Takes the request and says nothing at all. */
    hang?: Limited;
    /** Answers with this instead. */
    refuse?: Limited & {
        readonly status: number;
        readonly body?: unknown;
        readonly headers?: Readonly<Record<string, string>>;
    };
    /** Default: yes; `ignored`: `Range` is, as the existing server does; `wrong`: another part is sent. */
    ranges?: 'yes' | 'ignored' | 'wrong';
    /** Whether `If-Range` is looked at; default: yes. */
    ifRange?: boolean;
    /** Sent instead of the bytes that the manifest describes. */
    sends?: Buffer;
    /** `Content-Length`: as it is, or none. A number is told instead. */
    length?: 'right' | 'none' | number;
    /** After the last byte more of them follow, until nobody listens any more. */
    endless?: boolean;
    /** Default: the SHA-1 bare, as image servers send it. */
    etag?: 'bare' | 'quoted' | 'weak' | 'none' | { readonly text: string };
    contentMD5?: 'right' | 'none' | { readonly text: string };
}

/** A file of an image. */
export interface ServedFile extends FileBehaviour {
    readonly bytes: Buffer;
}

/** An image: its document as it is answered, and its files. */
export interface ServedImage {
    manifest: Record<string, unknown>;
    readonly files: ServedFile[];
    /** How the manifest is answered. */
    readonly onManifest: Pick<FileBehaviour, 'delayMs' | 'hang' | 'refuse'>;
}

/** Whether something is to happen now; counts. */
export function happens(limited: Limited | undefined): boolean {
    if (limited === undefined || limited.times === 0) return false;
    if (limited.times !== undefined) limited.times -= 1;
    return true;
}

export function sha1Of(bytes: Buffer): string {
    return createHash('sha1').update(bytes).digest('hex');
}

/** What a manifest says of a file. */
export function fileEntry(bytes: Buffer, changes: Readonly<Record<string, unknown>> = {}): unknown {
    return { sha1: sha1Of(bytes), size: bytes.length, compression: 'gzip', ...changes };
}
