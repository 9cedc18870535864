import { MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR } from '../base/constants.js';
import { ApiError } from '../base/errors.js';
import { connectionWords, OutgoingError } from '../base/http-errors.js';
import { IdleError } from './source-reader.js';

/**
 * Refuses a file that is announced as larger than any may be (jobs-and-imports 3.3 #8, 7.3 #12).
 *
 * @param size bytes; `undefined`: not known beforehand
 * @throws 400 `Download`
 */
export function requireAllowedSize(size: number | undefined): void {
    if (size !== undefined && size > MAX_IMAGE_SIZE) {
        throw new ApiError(
            'Download',
            `image file size, ${size}, exceeds the maximum allowed file size, ${MAX_IMAGE_SIZE_STR}`,
        );
    }
}

/** 400 for a file that has another length than was announced (jobs-and-imports 3.3 #9, 7.3). */
export function wrongLength(expected: number, size: number, cause?: unknown): ApiError {
    return new ApiError(
        'Download',
        `"Content-Length" header, ${expected}, does not match downloaded size, ${size}`,
        { cause },
    );
}

/** What the system, TLS or the other side said; our own words for the rest. */
function textOf(error: unknown): string {
    const cause = error instanceof OutgoingError && error.kind === 'connect' ? error.cause : undefined;
    return connectionWords(cause instanceof Error ? cause : error);
}

/** Whether a body ended, or its connection was lost, before its last byte. */
export function isTruncation(error: unknown): boolean {
    return error instanceof OutgoingError && (error.kind === 'connect' || error.kind === 'malformed');
}

/** Whether a server gave no byte for too long. */
export function isStall(error: unknown): boolean {
    return error instanceof OutgoingError && (error.kind === 'timeout' || error.cause instanceof IdleError);
}

/** 400 for a file that a web server does not give (jobs-and-imports 7.3 #8). */
export function downloadFailure(error: unknown): ApiError {
    const message =
        error instanceof OutgoingError && error.status !== undefined
            ? `HTTP ${error.status} error attempting to download image`
            : `Error getting image: Error: ${textOf(error)}`;
    return new ApiError('Download', message, { cause: error });
}
