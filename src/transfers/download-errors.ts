import { MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR } from '../base/constants.js';
import { ApiError } from '../base/errors.js';

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
export function wrongLength(expected: number, size: number): ApiError {
    return new ApiError(
        'Download',
        `"Content-Length" header, ${expected}, does not match downloaded size, ${size}`,
    );
}
