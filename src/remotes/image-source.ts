import type { Readable } from 'node:stream';
import type { OutgoingError } from '../base/http-errors.js';
import type { AddressSupplier } from '../base/http-supplier.js';
import type { JsonObject } from '../manifest/types.js';

/** Where another image server is, as a caller or the configuration names it (jobs-and-imports 0.5). */
export interface SourceAddress {
    /** http or https, with path prefix and user info, without query string and trailing slash. */
    readonly url: string;
    /** As {@link url}, without user info: for records, answers and the log. */
    readonly shownUrl: string;
    /** Channel that every request to the source asks for. */
    readonly channel?: string;
    readonly supplier: AddressSupplier;
}

/** What goes with every request to a source. */
export interface SourceRequest {
    /** The account the source is asked for; absent: as an operator. */
    readonly account?: string;
    /** Id of the request or job that is being served. */
    readonly requestId?: string;
    readonly signal: AbortSignal;
    /** Milliseconds; default: those of all requests to other servers (README table D). */
    readonly timeouts?: {
        /** For a connection. */
        readonly connectMs: number;
        /** For more of a body. */
        readonly stallMs: number;
    };
}

/** Where to go on with a file that has been received in part. */
export interface ResumePoint {
    /** Bytes there are already. */
    readonly offset: number;
    /** Entity tag of what they are part of, unquoted. */
    readonly etag: string;
}

/** A file of an image as a source gives it. */
export interface OpenedSourceFile {
    /** Where the body begins; 0 also when the source does not go on where it was asked to. */
    readonly start: number;
    /** Bytes of the whole file; absent: the source does not tell. */
    readonly size?: number;
    /** Unquoted. */
    readonly etag?: string;
    /** Base64, of the whole file. */
    readonly contentMD5?: string;
    /** To be read to its end, or destroyed. */
    readonly body: Readable;
    /** Names an error of the body. */
    failure(error: unknown): OutgoingError;
}

/** An image server that images are copied from (jobs-and-imports 3, 10). */
export interface ImageSource {
    /**
     * GetImage, whatever its state; a manifest of another image is none.
     *
     * @throws OutgoingError of kind `status` when the source refuses, with its body; others when it cannot
     * be asked
     */
    manifest(uuid: string, request: SourceRequest): Promise<JsonObject>;
    /**
     * GetImageFile, whole or from a point on. A source that cannot go on from there gives the whole file.
     *
     * @param index 0 is the first file
     * @throws OutgoingError; status 416 when there is nothing behind the point
     */
    openFile(
        uuid: string,
        index: number,
        request: SourceRequest & { readonly resume?: ResumePoint },
    ): Promise<OpenedSourceFile>;
}

/** Makes sources out of addresses. */
export interface ImageSources {
    at(address: SourceAddress): ImageSource;
}
