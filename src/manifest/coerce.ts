/**
 * The few conversions the rules need, none of which can throw: a JSON object may carry own keys such
 * as `toString` that break the language's own conversions (manifest 0, placeholders).
 */

/** `String(value)`; what cannot be converted becomes `[object Object]` or the like. */
export function text(value: unknown): string {
    if (typeof value === 'string') {
        return value;
    }
    try {
        return String(value);
    } catch {
        return Object.prototype.toString.call(value);
    }
}

/** `JSON.stringify(value)`. */
export function json(value: unknown): string {
    return JSON.stringify(value);
}

/** `Number(value)`; NaN where the language would throw. */
export function toNumber(value: unknown): number {
    if (typeof value === 'number') {
        return value;
    }
    try {
        return Number(value);
    } catch {
        return NaN;
    }
}

/** Whether `value` is a JSON object: neither `null` nor an array. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Whether `value.length` exceeds `limit`: UTF-16 units of a string, entries of an array, the key
 * `length` of an object. Anything without a length is not too long.
 */
export function isLonger(value: unknown, limit: number): boolean {
    if (typeof value === 'string') {
        return value.length > limit;
    }
    if (typeof value !== 'object' || value === null) {
        return false;
    }
    return toNumber((value as { readonly length?: unknown }).length) > limit;
}

/** The boolean that `true`, `false`, `"true"` or `"false"` stands for; else `undefined`. */
export function toBoolean(value: unknown): boolean | undefined {
    if (value === true || value === 'true') {
        return true;
    }
    return value === false || value === 'false' ? false : undefined;
}
