import { ApiError, messageOf, validationFailed } from '../../base/errors.js';
import type { JsonObject } from '../types.js';
import { parseJsonObject } from './json-document.js';
import { digestOf } from './tag-and-digest.js';

/** Largest config of an image, bytes (jobs-and-imports 5.3). */
export const MAX_CONFIG_SIZE = 8_388_608;

/** For a config that did not come, or is longer than {@link MAX_CONFIG_SIZE}. @param why a few words */
export function configDownloadFailed(digest: string, why: string, cause?: unknown): ApiError {
    return new ApiError('Download', `error downloading config with digest ${digest}, ${why}`, { cause });
}

/**
 * Reads the config of an image (jobs-and-imports 5.3).
 *
 * @param digest it must have
 * @throws ApiError `Download` if it is another one, `ValidationFailed` if it cannot be read
 */
export function parseConfig(bytes: Buffer, digest: string): JsonObject {
    if (bytes.length > MAX_CONFIG_SIZE) {
        throw configDownloadFailed(digest, `it has more than ${MAX_CONFIG_SIZE} bytes`);
    }
    const actual = digestOf(bytes);
    if (actual !== digest) {
        throw new ApiError('Download', `config digest does not match, got ${actual}, expected ${digest}`);
    }
    try {
        return parseJsonObject(bytes);
    } catch (error) {
        throw validationFailed(
            `invalid JSON for docker config, digest ${digest}, err ${messageOf(error)}`,
            [],
        );
    }
}
