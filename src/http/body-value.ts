import type { JsonValue } from '../manifest/types.js';
import type { Call } from './call.js';

/** The parsed body, `undefined` when absent. */
export function bodyValue(call: Call): JsonValue | undefined {
    return call.body.present ? call.body.value : undefined;
}
