import { type ApiError, validationFailed } from '../base/errors.js';
import type { JsonObject, JsonValue } from '../manifest/types.js';

/** Tells whether a JSON value is an object: not `null`, no array. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function missingBody(): ApiError {
    return validationFailed('missing request body', [{ field: 'body', code: 'MissingParameter' }]);
}

/**
 * The object rule for request bodies (http-api 1.3).
 *
 * @param body `undefined`: absent
 * @throws 422 `ValidationFailed`
 */
export function requireObject(body: JsonValue | undefined): JsonObject {
    if (body === undefined) {
        throw missingBody();
    }
    if (!isJsonObject(body)) {
        throw validationFailed('invalid request body: not a JSON object', [
            { field: 'body', code: 'Invalid' },
        ]);
    }
    return body;
}

/**
 * The object rule as UpdateImage has it: a scalar counts as absent, an empty array as an empty
 * object (http-api 3.15 #1, #2).
 *
 * @param body `undefined`: absent
 * @throws 422 `ValidationFailed`
 */
export function requireUpdateObject(body: JsonValue | undefined): JsonObject {
    if (typeof body !== 'object') {
        throw missingBody();
    }
    return Array.isArray(body) && body.length === 0 ? {} : requireObject(body);
}
